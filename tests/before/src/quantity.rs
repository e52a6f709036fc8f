//! Kubernetes' quantities and Go's durations, as numbers that can be compared.

/// The number that a quantity such as `500m`, `64Mi` or `1e3` stands for.
pub(crate) fn parse_quantity(text: &str) -> Option<f64> {
    let split = text.find(|letter: char| !matches!(letter, '0'..='9' | '.' | '+' | '-')).unwrap_or(text.len());
    let (number, suffix) = text.split_at(split);
    let number = decimal(number)?;
    let scale = match suffix {
        "" => 1.0,
        // A quotient is exact where a product with 1e-3 is not: `700m` is `0.7`.
        "n" => return Some(number / 1e9),
        "u" => return Some(number / 1e6),
        "m" => return Some(number / 1e3),
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024_f64.powi(2),
        "Gi" => 1024_f64.powi(3),
        "Ti" => 1024_f64.powi(4),
        "Pi" => 1024_f64.powi(5),
        "Ei" => 1024_f64.powi(6),
        _ => 10_f64.powi(suffix.strip_prefix(['e', 'E'])?.parse::<i16>().ok()?.into()),
    };
    Some(number * scale)
}

/// The seconds of a duration such as `1h30m` or `250ms`, as Go writes it.
pub(crate) fn parse_duration(text: &str) -> Option<f64> {
    if text == "0" {
        return Some(0.0);
    }
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut seconds = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let split = rest.find(|letter: char| !matches!(letter, '0'..='9' | '.'))?;
        let (number, unit) = rest.split_at(split);
        let end = unit.find(|letter: char| matches!(letter, '0'..='9' | '.')).unwrap_or(unit.len());
        let scale = match &unit[..end] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        seconds += decimal(number)? * scale;
        rest = &unit[end..];
    }
    // Go counts nanoseconds in 64 bits, and so do the programs that read this.
    (seconds * 1e9 < i64::MAX as f64).then_some(sign * seconds)
}

/// A sign, digits, and at most one point: no exponent, no infinity.
fn decimal(text: &str) -> Option<f64> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') { text.parse().ok() } else { None }
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
        for text in ["", "Mi", "1 Gi", "1mi", "inf", "1e", "--1", "1.2.3", "0x1"] {
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
