//! Flags that are durations.

use std::time::Duration;

/// Parses `10`, `10s`, `0.5`, `200ms`, `5m` or `24h`.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 4] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let with_unit = UNITS.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, *seconds)));
    let (number, unit) = with_unit.unwrap_or((text, 1.0));
    number
        .parse()
        .ok()
        .and_then(|amount: f64| Duration::try_from_secs_f64(amount * unit).ok())
        .ok_or_else(|| "not a duration, such as 10 (seconds), 200ms, 5m or 24h".to_owned())
}

/// As [`duration`], but some time must pass.
pub(super) fn interval(text: &str) -> Result<Duration, String> {
    duration(text).and_then(|it| if it.is_zero() { Err("must be more than 0".to_owned()) } else { Ok(it) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds_unless_they_say_otherwise() {
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("0.5s"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(duration("90m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("720h"), Ok(Duration::from_secs(720 * 3600)));
        for wrong in ["", "-1", "1d", "ms", "h", "NaN", "1e300"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
