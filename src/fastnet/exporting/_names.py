"""Names of an exported file: words that C has for itself, and arguments and macros that are all different."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

__all__ = ["RESERVED_PREFIXES", "WORDS", "comment", "identifier", "name_arguments"]

#: Keywords of C and C++, and what compilers and the headers that the file includes define beside them.
WORDS = frozenset([
    "_Alignas", "_Alignof", "_Atomic", "_Bool", "_Complex", "_Generic", "_Imaginary", "_Noreturn", "_Static_assert",
    "_Thread_local", "alignas", "alignof", "and", "and_eq", "asm", "auto", "bitand", "bitor", "bool", "break", "case", "catch",
    "char", "char16_t", "char32_t", "char8_t", "class", "co_await", "co_return", "co_yield", "compl", "concept", "const",
    "const_cast", "consteval", "constexpr", "constinit", "continue", "decltype", "default", "delete", "do", "double",
    "dynamic_cast", "else", "enum", "explicit", "export", "extern", "false", "float", "for", "friend", "goto", "if", "inline",
    "int", "long", "mutable", "namespace", "new", "noexcept", "not", "not_eq", "nullptr", "operator", "or", "or_eq", "private",
    "protected", "public", "register", "reinterpret_cast", "requires", "restrict", "return", "short", "signed", "sizeof",
    "static", "static_assert", "static_cast", "struct", "switch", "template", "this", "thread_local", "throw", "true", "try",
    "typedef", "typeid", "typename", "typeof", "typeof_unqual", "union", "unsigned", "using", "virtual", "void", "volatile",
    "wchar_t", "while", "xor", "xor_eq",
])  # fmt: skip
#: Names that arguments cannot have besides: of macros and functions that may be there, and of the variables of exported functions.
_TAKEN = WORDS | {
    "NULL", "I", "EOF", "INFINITY", "NAN", "HUGE_VAL", "errno", "stdin", "stdout", "stderr", "assert", "main", "linux", "unix",
    "i386", "near", "far", "memcpy", "memset", "memmove", "memory", "loss", "k", "learning_rate", "jacobian",
}  # fmt: skip
#: Prefixes that would make macros of <stdint.h>.
RESERVED_PREFIXES = re.compile(r"u?int(_least|_fast)?\d+|u?int(ptr|max)|size|ptrdiff|sig_atomic|wchar|wint", re.IGNORECASE)


def identifier(name: str) -> str:
    """A name as one of C."""
    found = re.sub(r"\W", "_", name, flags=re.ASCII)
    return found if re.match(r"[A-Za-z_]", found) else f"_{found}"


def comment(text: str) -> str:
    """A line of a comment: ASCII, with nothing in it that ends or begins a comment, or that is a trigraph."""
    plain = text.encode("ascii", "backslashreplace").decode("ascii")
    return plain.replace("*/", "* /").replace("/*", "/ *").replace("??", "? ?")


def name_arguments(inputs: Sequence[str], outputs: Sequence[str], prefix: str) -> tuple[list[str], list[str]]:
    """Names of C for inputs and outputs; all that is derived from them, and macros, which are in capitals, are different too."""
    taken = {name.lower() for name in _TAKEN}

    def choose(name: str, derived: Iterable[str]) -> str:
        one = identifier(name)
        if re.match(
            rf"_[A-Z_]|fnp_|{prefix}_|u?int\w*_(max|min|c)$|\w+_t$", one, re.IGNORECASE
        ):  # of compilers, of the file, of types
            one = f"x{one}_"
        while any(pattern.format(one).lower() in taken for pattern in derived):
            one += "_"
        taken.update(pattern.format(one).lower() for pattern in derived)
        return one

    found = [choose(name, ("{}", "jacobian_{}")) for name in inputs]
    return found, [choose(name, ("{}", "{}_target", "{}_weight")) for name in outputs]
