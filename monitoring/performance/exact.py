"""Sums of floating-point numbers without rounding, so that what is taken back leaves nothing behind.

A changed label takes its old error out of a sum and puts a new one in. With ordinary floats an error
of 1e18, corrected, would leave the sum wrong for ever; here a sum is an integer times a power of two.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

SMALLEST_EXPONENT = -1074  # of a double


@dataclass(frozen=True, slots=True)
class ExactSum:
    """mantissa x 2^exponent, exactly."""

    mantissa: int = 0
    exponent: int = 0

    @classmethod
    def of(cls, value: float, power: int = 1) -> ExactSum:
        """Return a finite number to a power, not rounded."""
        numerator, denominator = float(value).as_integer_ratio()
        return cls(numerator**power, -(denominator.bit_length() - 1) * power)

    def plus(self, other: ExactSum, *, sign: int = 1) -> ExactSum:
        """Return the sum (or, with sign -1, the difference)."""
        if not other.mantissa:
            return self
        low = min(self.exponent, other.exponent) if self.mantissa else other.exponent
        mine = self.mantissa << (self.exponent - low) if self.mantissa else 0
        return ExactSum(mine + sign * (other.mantissa << (other.exponent - low)), low)

    def times(self, other: ExactSum) -> ExactSum:
        """Return the product."""
        return ExactSum(self.mantissa * other.mantissa, self.exponent + other.exponent)

    def fraction(self) -> Fraction:
        """Return the number as a ratio, for exact arithmetic."""
        if self.exponent >= 0:
            return Fraction(self.mantissa << self.exponent)
        return Fraction(self.mantissa, 1 << -self.exponent)

    def to_text(self) -> str:
        """Return a form for storage."""
        return f"{self.mantissa:x}p{self.exponent}"

    @classmethod
    def from_text(cls, text: str) -> ExactSum:
        """Rebuild from `to_text`."""
        mantissa, _, exponent = text.partition("p")
        return cls(int(mantissa, 16), int(exponent))
