"""Exported models on a Cortex-M4F, emulated by qemu: instructions, code and memory."""
