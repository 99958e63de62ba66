"""Schedules that go in waves: cosine decay, once or with restarts, cycles, one cycle."""

from __future__ import annotations

import math

import numpy as np

from ._base import LearningRateSchedule, choice, count, number, steps_number


class CosineDecay(LearningRateSchedule):
    """Half a wave of the cosine, after an optional linear warm-up::

        start, t' = (warmup_target, t - warmup_steps) or, without a target, (initial_learning_rate, t)
        p = min(t', decay_steps) / decay_steps
        value(t) = start * ((1 - alpha) * (1 + cos(pi * p)) / 2 + alpha)

        while t < warmup_steps, with a target:
        value(t) = initial_learning_rate + (warmup_target - initial_learning_rate) * t / warmup_steps

    Parameters
    ----------
    initial_learning_rate : float
        Where the decay or, with a target, the warm-up starts.
    decay_steps : float
        Length of the decay, without the warm-up. Above 0.
    alpha : float
        What remains at the end, as a fraction of where the decay starts.
    warmup_target : float, optional
        Where the warm-up ends and the decay starts. Without it there is no warm-up and `warmup_steps` is of no
        effect, as in Keras.
    warmup_steps : float
        Length of the warm-up.

    Notes
    -----
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, arXiv:1608.03983,
    without restarts. Keras's schedule of that name. PyTorch's ``CosineAnnealingLR(T_max, eta_min)`` is
    ``CosineDecay(lr, T_max, alpha=eta_min / lr)`` up to `T_max`; there it rises again after that, here and in
    Keras it stays at its end.

    Examples
    --------
    >>> CosineDecay(0.1, decay_steps=100)([0, 50, 100, 150])
    array([0.1 , 0.05, 0.  , 0.  ])
    >>> CosineDecay(0.0, decay_steps=100, warmup_target=0.1, warmup_steps=10)([0, 5, 10, 60, 110])
    array([0.  , 0.05, 0.1 , 0.05, 0.  ])
    """

    def __init__(
        self,
        initial_learning_rate: float,
        decay_steps: float,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: float = 0,
    ) -> None:
        self.initial_learning_rate = number(self, "initial_learning_rate", initial_learning_rate)
        self.decay_steps = steps_number(self, "decay_steps", decay_steps)
        self.alpha = number(self, "alpha", alpha)
        self.name = name
        self.warmup_target = None if warmup_target is None else number(self, "warmup_target", warmup_target)
        self.warmup_steps = steps_number(self, "warmup_steps", warmup_steps, above=False)

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        if self.warmup_target is None:
            return self.initial_learning_rate * self._fraction(steps)
        decayed = self.warmup_target * self._fraction(np.maximum(steps - self.warmup_steps, 0))
        if self.warmup_steps == 0:
            return decayed
        rise = self.warmup_target - self.initial_learning_rate
        return np.where(steps < self.warmup_steps, rise * (steps / self.warmup_steps) + self.initial_learning_rate, decayed)

    def _fraction(self, steps: np.ndarray) -> np.ndarray:
        progress = np.minimum(steps, self.decay_steps) / self.decay_steps
        return (1 - self.alpha) * _half_wave(progress) + self.alpha


class CosineDecayRestarts(LearningRateSchedule):
    """Cosine decay that starts again, each time over `t_mul` times as many steps from `m_mul` times as high::

        start(i) = first_decay_steps * (1 + t_mul + ... + t_mul ** (i - 1))
        length(i) = first_decay_steps * t_mul ** i
        i = the last with start(i) <= t
        p = (t - start(i)) / length(i)
        value(t) = initial_learning_rate * ((1 - alpha) * m_mul ** i * (1 + cos(pi * p)) / 2 + alpha)

    Parameters
    ----------
    initial_learning_rate : float
    first_decay_steps : float
        Steps until the first restart. Above 0.
    t_mul : float
        Above 0. Below 1 periods become shorter, and end before step ``first_decay_steps / (1 - t_mul)``; from there on the
        value is ``initial_learning_rate * alpha``, for which Keras has NaN.
    m_mul : float
        Above 0.
    alpha : float
        What it falls to, as a fraction of `initial_learning_rate`.

    Notes
    -----
    Loshchilov and Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, arXiv:1608.03983. Keras's
    schedule of that name; with some `t_mul`, 3 for instance, Keras makes a restart one step late, because it
    finds i by a quotient of logarithms that is rounded. Here a restart is always at the step where it belongs.
    PyTorch's ``CosineAnnealingWarmRestarts(T_0, T_mult, eta_min)`` is
    ``CosineDecayRestarts(lr, T_0, t_mul=T_mult, alpha=eta_min / lr)``, where `T_mult` is 1 unless given. It never
    ends.

    Examples
    --------
    >>> CosineDecayRestarts(0.1, 10, m_mul=0.5)([0, 5, 10, 20, 30])
    array([0.1  , 0.05 , 0.05 , 0.025, 0.025])
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: float,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ) -> None:
        self.initial_learning_rate = number(self, "initial_learning_rate", initial_learning_rate)
        self.first_decay_steps = steps_number(self, "first_decay_steps", first_decay_steps)
        self.t_mul = number(self, "t_mul", t_mul, above=True)
        self.m_mul = number(self, "m_mul", m_mul, above=True)
        self.alpha = number(self, "alpha", alpha)
        self.name = name

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        if self.t_mul < 1:
            over = steps > self.first_decay_steps / (1 - self.t_mul) - 1e-5
            return np.where(over, self.initial_learning_rate * self.alpha, self._waves(np.where(over, 0, steps)))
        return self._waves(steps)

    def _waves(self, steps: np.ndarray) -> np.ndarray:
        if self.t_mul == 1.0:
            period, progress = np.divmod(steps, self.first_decay_steps)
            progress = progress / self.first_decay_steps
        else:
            grown = 1 + steps / self.first_decay_steps * (self.t_mul - 1)
            period = np.floor(np.log(grown) / math.log(self.t_mul))
            # The logarithm is rounded; at a restart, that decides between the end of a period and the start of one.
            # Steps are integers, so what is nearer to a restart than this is meant to be on it.
            late = steps - self._start(period + 1) > -1e-6
            early = steps - self._start(period) <= -1e-6
            period = period + late - early
            length = self.first_decay_steps * self._power(period)
            progress = np.maximum(steps - self._start(period), 0) / length
        scale = self.m_mul ** period.astype(np.float64)
        return self.initial_learning_rate * ((1 - self.alpha) * scale * _half_wave(progress) + self.alpha)

    def _start(self, period: np.ndarray) -> np.ndarray:
        return self.first_decay_steps * ((self._power(period) - 1) / (self.t_mul - 1))

    def _power(self, period: np.ndarray) -> np.ndarray:
        power = self.t_mul**period
        return np.rint(power) if self.t_mul.is_integer() else power


class Cyclic(LearningRateSchedule):
    """Up and down along straight lines, again and again::

        c, q = divmod(t, step_size_up + step_size_down)
        x = q / step_size_up while q <= step_size_up, then falling to 0 over step_size_down
        value(t) = base_learning_rate + (max_learning_rate - base_learning_rate) * x * scale

    where scale is 1 (``"triangular"``), ``2 ** -c`` (``"triangular2"``) or ``gamma ** t`` (``"exp_range"``).

    Parameters
    ----------
    base_learning_rate, max_learning_rate : float
        Where cycles start, and how high the first one goes. The second may be the lower one.
    step_size_up : float
        Steps from the bottom to the top. Above 0.
    step_size_down : float, optional
        Steps back; as many as up, if not given.
    mode : {"triangular", "triangular2", "exp_range"}
    gamma : float
        For ``"exp_range"``.

    Notes
    -----
    Smith, "Cyclical Learning Rates for Training Neural Networks", 2017, arXiv:1506.01186. PyTorch's ``CyclicLR``;
    what that does to momentum by default is `momentum` here. Keras has none. It never ends.

    Examples
    --------
    >>> Cyclic(0.1, 0.5, step_size_up=4)([0, 2, 4, 6, 8, 12])
    array([0.1, 0.3, 0.5, 0.3, 0.1, 0.5])
    >>> Cyclic(0.1, 0.5, step_size_up=4, mode="triangular2")([4, 12, 20])
    array([0.5, 0.3, 0.2])
    """

    def __init__(
        self,
        base_learning_rate: float,
        max_learning_rate: float,
        step_size_up: float = 2000,
        step_size_down: float | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
    ) -> None:
        self.base_learning_rate = number(self, "base_learning_rate", base_learning_rate)
        self.max_learning_rate = number(self, "max_learning_rate", max_learning_rate)
        self.step_size_up = steps_number(self, "step_size_up", step_size_up)
        self.step_size_down = None if step_size_down is None else steps_number(self, "step_size_down", step_size_down)
        self.mode = choice(self, "mode", mode, ("triangular", "triangular2", "exp_range"))
        self.gamma = number(self, "gamma", gamma, above=True)

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        up = self.step_size_up
        down = up if self.step_size_down is None else self.step_size_down
        cycle, position = np.divmod(steps, up + down)
        height = np.where(position <= up, position / up, (up + down - position) / down)
        if self.mode == "triangular2":
            height = height * 0.5 ** cycle.astype(np.float64)
        elif self.mode == "exp_range":
            height = height * self.gamma ** steps.astype(np.float64)
        return self.base_learning_rate + (self.max_learning_rate - self.base_learning_rate) * height

    def momentum(self, base_momentum: float = 0.8, max_momentum: float = 0.9) -> Cyclic:
        """The same cycle for the momentum, upside down: lowest where the learning rate is highest."""
        base_momentum = number(self, "base_momentum", base_momentum)
        max_momentum = number(self, "max_momentum", max_momentum)
        return Cyclic(max_momentum, base_momentum, self.step_size_up, self.step_size_down, self.mode, self.gamma)


class OneCycle(LearningRateSchedule):
    """Up to a high rate once, then down to next to nothing::

        initial = max_learning_rate / div_factor
        minimum = initial / final_div_factor
        from step 0 to pct_start * total_steps - 1:   initial -> max_learning_rate
        from there to total_steps - 1:                max_learning_rate -> minimum

    and with `three_phase`, symmetric about the top::

        from pct_start * total_steps - 1 to 2 * pct_start * total_steps - 2:   max_learning_rate -> initial
        from there to total_steps - 1:                                         initial -> minimum

    along half waves of the cosine or straight lines.

    Parameters
    ----------
    max_learning_rate : float
    total_steps : int
        Steps of the whole training.
    pct_start : float
        The fraction of them that goes up, in [0, 1].
    anneal_strategy : {"cos", "linear"}
    div_factor, final_div_factor : float
        Above 0.
    three_phase : bool

    Notes
    -----
    Smith and Topin, "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates", 2018,
    arXiv:1708.07120. PyTorch's ``OneCycleLR``; what that does to momentum by default is `momentum` here. After
    ``total_steps - 1`` it stays at its last value, where PyTorch goes up again for one step and then raises an
    error. Where ``pct_start * total_steps`` is 1, PyTorch divides by zero; here step 0 is the top. Keras has none.

    Examples
    --------
    >>> one_cycle = OneCycle(0.5, total_steps=20, anneal_strategy="linear", div_factor=10, final_div_factor=100)
    >>> one_cycle([0, 5, 12, 19, 20])
    array([0.05   , 0.5    , 0.25025, 0.0005 , 0.0005 ])
    >>> one_cycle.momentum()([0, 5, 12, 19, 20])
    array([0.95, 0.85, 0.9 , 0.95, 0.95])
    """

    def __init__(
        self,
        max_learning_rate: float,
        total_steps: int,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        self.max_learning_rate = number(self, "max_learning_rate", max_learning_rate)
        self.total_steps = count(self, "total_steps", total_steps)
        self.pct_start = number(self, "pct_start", pct_start)
        if self.pct_start > 1:
            raise ValueError(f"OneCycle: pct_start must be at most 1, got {pct_start}")
        self.anneal_strategy = choice(self, "anneal_strategy", anneal_strategy, ("cos", "linear"))
        self.div_factor = number(self, "div_factor", div_factor, above=True)
        self.final_div_factor = number(self, "final_div_factor", final_div_factor, above=True)
        self.three_phase = bool(three_phase)

    def evaluate(self, steps: np.ndarray) -> np.ndarray:
        peak, initial = self.max_learning_rate, self.max_learning_rate / self.div_factor
        minimum = initial / self.final_div_factor
        top, last = self.pct_start * self.total_steps - 1, self.total_steps - 1
        phases = [(0.0, top, initial, peak)]
        if self.three_phase:
            down = 2 * self.pct_start * self.total_steps - 2
            phases += [(top, down, peak, initial), (down, last, initial, minimum)]
        else:
            phases += [(top, last, peak, minimum)]
        steps = np.minimum(steps, last)
        values = self._anneal(steps, *phases[-1])
        for phase in reversed(phases[:-1]):
            values = np.where(steps <= phase[1], self._anneal(steps, *phase), values)
        return values

    def _anneal(self, steps: np.ndarray, begin: float, end: float, first: float, last: float) -> np.ndarray:
        """From the first value at `begin` to the last at `end`, which may be the same step."""
        progress = (steps - begin) / (end - begin) if end != begin else np.ones(steps.shape)
        if self.anneal_strategy == "cos":
            return last + (first - last) * _half_wave(progress)
        return first + (last - first) * progress

    def momentum(self, base_momentum: float = 0.85, max_momentum: float = 0.95) -> OneCycle:
        """The same cycle for the momentum, upside down: lowest where the learning rate is highest.

        Parameters
        ----------
        base_momentum, max_momentum : float
            At the top of the learning rate, and at both ends. Above 0.
        """
        base_momentum = number(self, "base_momentum", base_momentum, above=True)
        max_momentum = number(self, "max_momentum", max_momentum, above=True)
        return OneCycle(
            base_momentum,
            self.total_steps,
            self.pct_start,
            self.anneal_strategy,
            div_factor=base_momentum / max_momentum,
            final_div_factor=1.0,
            three_phase=self.three_phase,
        )


def _half_wave(progress: np.ndarray) -> np.ndarray:
    """From 1 at progress 0 to 0 at progress 1, with no slope at both."""
    return 0.5 * (1.0 + np.cos(math.pi * progress))
