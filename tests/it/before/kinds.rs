//! What kind of sentence one is.

/// A sentence without what varies from one to the next: where it is, numbers, and what is quoted.
pub(super) fn kind(sentence: &str) -> String {
    let sentence = match sentence.strip_prefix("a.yaml:") {
        // Line and column, then the field, which the sentence is about.
        Some(rest) => rest.split_once(": ").map_or(rest, |(_, rest)| rest),
        None => sentence,
    };
    let mut kind = String::new();
    for (at, word) in sentence.split(' ').enumerate() {
        let is_field = word.contains('[') || (at == 0 && (word.contains('.') || word == "spec"));
        let word = if is_field {
            "…".to_owned()
        } else {
            word.chars().map(|letter| if letter.is_ascii_digit() { '#' } else { letter }).collect()
        };
        if at > 0 {
            kind.push(' ');
        }
        kind.push_str(&word);
    }
    let quoted: Vec<_> = kind.split('"').enumerate().map(|(at, part)| if at % 2 == 1 { "…" } else { part }).collect();
    let mut kind: String = quoted.join("\"").chars().take(160).collect();
    while kind.contains("##") {
        kind = kind.replace("##", "#");
    }
    kind
}
