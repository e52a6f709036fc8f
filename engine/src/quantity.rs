//! Kubernetes' quantities and Go's durations.
//!
//! A quantity is read as Kubernetes reads it, and kept as it keeps it: digits and a power of ten, or, where these are too many
//! for 64 bits, a decimal number of any length. Which of the two it is can be seen: `1000m` is no integer there.

use std::cmp::Ordering;

/// A quantity such as `500m`, `64Mi` or `1e3`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Quantity {
    digits: i128,
    /// The power of ten that the digits are multiplied with.
    scale: i32,
    /// Whether Kubernetes keeps it as a decimal number of any length.
    is_long: bool,
    /// Whether it was added or subtracted: cel-go tells these apart.
    pub(crate) is_sum: bool,
}

/// Why a text is no quantity here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoQuantity {
    Malformed,
    /// Kubernetes reads it: it is beyond 10^28, or has more than 36 digits.
    TooLarge,
}

/// The smallest part that is kept.
const NANO: i32 = -9;
/// As many digits fit into 64 bits in any case.
const SHORT: usize = 18;
/// As many fit into 128 bits.
const LONG: usize = 36;

impl Quantity {
    /// The quantity that a text stands for.
    pub(crate) fn parse(text: &str) -> Result<Quantity, NoQuantity> {
        if text.is_empty() {
            return Err(NoQuantity::Malformed);
        }
        let (sign, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        let digits_of = |text: &'_ str| text.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(text.len());
        let (whole, rest) = unsigned.split_at(digits_of(unsigned));
        let (part, suffix) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(digits_of(rest)),
            None => ("", rest),
        };
        let (base, exponent) = suffix_of(suffix).ok_or(NoQuantity::Malformed)?;
        // Without digits it is zero.
        let whole = whole.trim_start_matches('0');
        let length = whole.len().max(1) + part.len();
        if length > LONG || !(-64..=64).contains(&exponent) {
            return Err(NoQuantity::TooLarge);
        }
        let digits: i128 = format!("0{whole}{part}").parse().expect("36 digits fit into 128 bits");
        let scale = -(part.len() as i32);
        let quantity = if base == 10 {
            let scale = scale + exponent;
            if length <= SHORT && scale >= NANO {
                Some(Quantity { digits, scale, is_long: false, is_sum: false })
            } else {
                Quantity::long(digits, scale)
            }
        } else {
            // Kubernetes' estimate of whether the product fits into 64 bits.
            let fits = part.is_empty() && 14 - whole.len().max(1) as i32 - exponent * 3 / 10 >= 0;
            match digits.checked_mul(1 << exponent) {
                Some(digits) if fits => Some(Quantity { digits, scale, is_long: false, is_sum: false }),
                // Binary quantities end at 64 bits.
                digits => digits.and_then(|digits| Quantity::long(digits, scale)).map(|it| {
                    let most = Quantity { digits: i64::MAX.into(), scale: 0, is_long: true, is_sum: false };
                    if it.cmp(&most) == Ordering::Greater { most } else { it }
                }),
            }
        };
        let quantity = quantity.filter(|it| it.at(NANO).is_some()).ok_or(NoQuantity::TooLarge)?;
        Ok(Quantity { digits: sign * quantity.digits, ..quantity })
    }

    /// A whole number.
    pub(crate) fn from_integer(number: i64) -> Quantity {
        Quantity { digits: number.into(), scale: 0, is_long: false, is_sum: false }
    }

    /// A positive number to the billionth part, rounded up.
    fn long(digits: i128, scale: i32) -> Option<Quantity> {
        let digits = match u32::try_from(scale - NANO) {
            Ok(shift) => digits.checked_mul(10_i128.checked_pow(shift)?)?,
            Err(_) => {
                let divisor = 10_i128.checked_pow((NANO - scale) as u32)?;
                digits / divisor + i128::from(digits % divisor != 0)
            }
        };
        Some(Quantity { digits, scale: NANO, is_long: true, is_sum: false })
    }

    /// The digits when it is written with a smaller power of ten.
    fn at(&self, scale: i32) -> Option<i128> {
        match u32::try_from(self.scale - scale) {
            Ok(0) => Some(self.digits),
            _ if self.digits == 0 => Some(0),
            shift => self.digits.checked_mul(10_i128.checked_pow(shift.ok()?)?),
        }
    }

    pub(crate) fn cmp(&self, other: &Quantity) -> Ordering {
        let nanos = |of: &Quantity| of.at(NANO).expect("a quantity has no more digits");
        nanos(self).cmp(&nanos(other))
    }

    /// The sum; `None` if it has too many digits.
    pub(crate) fn checked_add(&self, other: &Quantity) -> Option<Quantity> {
        let both_short = !self.is_long && !other.is_long;
        if both_short && other.digits == 0 {
            return Some(Quantity { is_sum: true, ..*self });
        }
        if both_short && self.digits == 0 {
            return Some(Quantity { is_sum: true, ..*other });
        }
        let scale = self.scale.min(other.scale);
        let (one, other) = (self.at(scale)?, other.at(scale)?);
        let digits = one.checked_add(other)?;
        let fits = |digits: i128| i64::try_from(digits).is_ok();
        let is_long = !(both_short && fits(one) && fits(other) && fits(digits));
        Some(Quantity { digits, scale, is_long, is_sum: true }).filter(|it| it.at(NANO).is_some())
    }

    pub(crate) fn checked_sub(&self, other: &Quantity) -> Option<Quantity> {
        self.checked_add(&Quantity { digits: -other.digits, ..*other })
    }

    /// The digits when it is written with this power of ten, rounded up.
    fn rounded_up(&self, scale: i32) -> Option<i128> {
        let Ok(shift) = u32::try_from(scale - self.scale) else { return self.at(scale) };
        let divisor = 10_i128.checked_pow(shift)?;
        Some(self.digits.div_euclid(divisor) + i128::from(self.digits.rem_euclid(divisor) != 0))
    }

    /// Whether it is a whole number to the thousandth part.
    pub(crate) fn is_whole(&self) -> bool {
        self.rounded_up(-3).is_some_and(|thousandths| thousandths % 1000 == 0)
    }

    /// Whether it is so many times another one, which is whole.
    pub(crate) fn is_multiple_of(&self, other: &Quantity) -> bool {
        let whole = self.rounded_up(0).zip(other.rounded_up(0));
        other.is_whole() && whole.is_some_and(|(own, other)| other > 0 && own % other == 0)
    }

    pub(crate) fn sign(&self) -> i64 {
        self.digits.signum() as i64
    }

    /// The whole number that Kubernetes says it is: `1000m` is none.
    pub(crate) fn as_integer(&self) -> Option<i64> {
        if self.is_long || self.scale < 0 { None } else { i64::try_from(self.at(0)?).ok() }
    }

    /// The number as Kubernetes reckons it, which need not be the nearest one.
    pub(crate) fn as_approximate_float(&self) -> f64 {
        let power = power_of_ten(self.scale.abs());
        self.digits as f64 * if self.scale < 0 { 1.0 / power } else { power }
    }

    /// The nearest number.
    pub(crate) fn to_float(self) -> f64 {
        let power = power_of_ten(self.scale.abs());
        // A quotient is exact where a product with 1e-3 is not: `700m` is `0.7`.
        if self.scale < 0 { self.digits as f64 / power } else { self.digits as f64 * power }
    }
}

fn power_of_ten(exponent: i32) -> f64 {
    format!("1e{exponent}").parse().expect("a number")
}

/// The base and the exponent that a suffix stands for.
fn suffix_of(suffix: &str) -> Option<(i32, i32)> {
    Some(match suffix {
        "" => (10, 0),
        "n" => (10, -9),
        "u" => (10, -6),
        "m" => (10, -3),
        "k" => (10, 3),
        "M" => (10, 6),
        "G" => (10, 9),
        "T" => (10, 12),
        "P" => (10, 15),
        "E" => (10, 18),
        "Ki" => (2, 10),
        "Mi" => (2, 20),
        "Gi" => (2, 30),
        "Ti" => (2, 40),
        "Pi" => (2, 50),
        "Ei" => (2, 60),
        _ => (10, suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    })
}

/// The number that a quantity stands for.
pub(crate) fn parse_quantity(text: &str) -> Option<f64> {
    Quantity::parse(text).ok().map(Quantity::to_float)
}

/// The seconds of a duration such as `1h30m` or `250ms`, as Go writes it.
pub(crate) fn parse_duration(text: &str) -> Option<f64> {
    parse_nanoseconds(text).map(|nanoseconds| nanoseconds as f64 / 1e9)
}

/// The nanoseconds of a duration. Go counts them in 64 bits, and so do the programs that read durations.
pub(crate) fn parse_nanoseconds(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0_i128;
    while !rest.is_empty() {
        let (number, unit) = rest.split_at(rest.find(|letter: char| !matches!(letter, '0'..='9' | '.'))?);
        let end = unit.find(|letter: char| matches!(letter, '0'..='9' | '.')).unwrap_or(unit.len());
        let scale = match &unit[..end] {
            "ns" => 1_i64,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "m" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            _ => return None,
        };
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        if (whole.is_empty() && part.is_empty()) || part.contains('.') {
            return None;
        }
        let whole = if whole.is_empty() { 0 } else { whole.parse::<u64>().ok()? };
        sum += i128::from(whole) * i128::from(scale) + i128::from(part_of(part, scale));
        if sum > 1 << 63 {
            return None;
        }
        rest = &unit[end..];
    }
    i64::try_from(sign * sum).ok()
}

/// A decimal part of a unit of so many nanoseconds, as Go reckons it: digits that do not fit into 64 bits do not count.
fn part_of(part: &str, scale: i64) -> i64 {
    let (mut digits, mut power) = (0_i64, 1.0_f64);
    for digit in part.bytes() {
        let Some(more) = digits.checked_mul(10).and_then(|tens| tens.checked_add(i64::from(digit - b'0'))) else {
            break;
        };
        (digits, power) = (more, power * 10.0);
    }
    (digits as f64 * (scale as f64 / power)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_kubernetes_reads_them() {
        for (text, number) in [
            ("0.5", 0.5),
            ("500m", 0.5),
            ("700m", 0.7),
            ("64Mi", 67_108_864.0),
            ("1e3", 1000.0),
            ("1E", 1e18),
            (".5", 0.5),
            ("+1", 1.0),
        ] {
            assert_eq!(parse_quantity(text), Some(number), "{text}");
        }
        for text in ["", "1 Gi", "1mi", "inf", "1e", "--1", "1.2.3", "0x1"] {
            assert_eq!(parse_quantity(text), None, "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, seconds) in [("0", 0.0), ("1h30m", 5400.0), ("250ms", 0.25), ("-1.5s", -1.5)] {
            assert_eq!(parse_duration(text), Some(seconds), "{text}");
        }
        for text in ["", "-", "1", "5x", "1h30", "s", "1 s"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
