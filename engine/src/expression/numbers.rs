//! Doubles as texts, as Go writes and reads them.

/// As `string()` writes it: `0.5`, `1`, `1e+06`.
pub(super) fn format_double(number: f64) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.into();
    }
    // The shortest digits that give the number back, and its exponent.
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').expect("the format has an exponent");
    let exponent: i32 = exponent.parse().expect("an exponent is a number");
    const LONGEST: i32 = 6;
    if (-4..LONGEST).contains(&exponent) {
        return number.to_string();
    }
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs())
}

/// The number that a text stands for: decimal, or `inf`, `infinity` and `nan`. Nothing for one beyond all doubles.
pub(super) fn parse_double(text: &str) -> Option<f64> {
    // Go knows no sign before it.
    if text.len() > 3 && text.ends_with(['n', 'N']) {
        return None;
    }
    let number: f64 = text.parse().ok()?;
    let is_named = || text.trim_start_matches(['+', '-']).starts_with(['i', 'I']);
    if number.is_infinite() && !is_named() { None } else { Some(number) }
}

/// With so many digits behind the point and commas between thousands, `1,234.50`: Kubernetes formats `%f` so.
pub(super) fn format_fixed(number: f64, precision: usize) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    let sign = if number < 0.0 { "-" } else { "" };
    if number.is_infinite() {
        return format!("{sign}∞");
    }
    let digits = format!("{:.precision$}", number.abs());
    let (whole, part) = digits.split_at(digits.find('.').unwrap_or(digits.len()));
    let mut text = sign.to_owned();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text + part
}
