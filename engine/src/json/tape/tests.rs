use super::*;

fn scan(json: &str) -> Tape<'_> {
    Tape::scan(json).expect("JSON")
}

#[test]
fn values_keep_their_text() {
    let tape = scan(r#" {"a": 1.50, "b": {"c" : null}, "\u0064": "e\n", "f": [ 1,{}]} "#);
    let root = tape.root();
    assert_eq!(root.get("a").map(Text::json), Some("1.50"));
    assert_eq!(root.get("b").map(Text::json), Some(r#"{"c" : null}"#));
    assert_eq!(root.string_at("d").as_deref(), Some("e\n"));
    let items: Vec<_> = root.get("f").into_iter().flat_map(Text::items).map(Text::json).collect();
    assert_eq!(items, ["1", "{}"]);
    let names: Vec<_> = root.members().map(Text::name).collect();
    assert_eq!(names, ["a", "b", "d", "f"]);
}

#[test]
fn null_is_not_there_and_of_two_members_the_last_counts() {
    let tape = scan(r#"{"a": 1, "b": 1, "a": null, "b": 2}"#);
    assert!(tape.root().get("a").is_none());
    assert_eq!(tape.root().get("b").map(Text::json), Some("2"));
}

#[test]
fn what_is_not_there_has_no_parts() {
    for json in ["null", "1", r#""{}""#, "[]", "{}"] {
        assert_eq!(scan(json).root().parts().count(), 0, "{json}");
    }
    assert_eq!(scan("[1]").root().members().count(), 0);
    assert_eq!(scan(r#"{"a": 1}"#).root().items().count(), 0);
    assert_eq!(scan("1").root().string(), None);
}

#[test]
fn what_nobody_looks_into_is_one_piece() {
    let tape = scan(r#"{"managedFields": [{"a": [1]}], "b": 1}"#);
    let members: Vec<_> = tape.root().members().collect();
    assert_eq!(members[0].json(), r#"[{"a": [1]}]"#);
    assert_eq!(members[0].parts().count(), 0);
    assert_eq!(members[1].json(), "1");
}

#[test]
fn serde_json_finds_the_same_whatever_byte_is_changed() {
    use serde_json::Value;
    use serde_json::value::RawValue;

    const TEXT: &str =
        r#" {"a": [1, -0.5e+7, true, null, {}], "b\n": {"managedFields": [{"c": ""}], "d": "eight by\u00e9"}} "#;
    const BYTES: &[u8] = b"\"\\{}[],: 019-+.eEutfn/\n\x01x";
    let mut accepted = 0;
    for at in 0..TEXT.len() {
        for byte in BYTES {
            let mut text = TEXT.as_bytes().to_vec();
            text[at] = *byte;
            let text = String::from_utf8(text).expect("ASCII");
            for text in [&text[..], &text[..at], &text[at..]] {
                let tape = Tape::scan(text);
                assert_eq!(tape.is_some(), serde_json::from_str::<&RawValue>(text).is_ok(), "{text}");
                if let (Some(tape), Ok(value)) = (tape, serde_json::from_str::<Value>(text)) {
                    assert_eq!(tape.root().to_value(), value, "{text}");
                    accepted += 1;
                }
            }
        }
    }
    assert!(accepted > 500, "{accepted}");
}

#[test]
fn no_more_values_are_noted_than_a_pod_may_have() {
    let items = "1,".repeat(MAX_VALUES);
    let json = format!(r#"{{"a": [1], "b": [{items}1], "c": 1}}"#);
    let tape = scan(&json);
    assert_eq!(tape.values.len(), MAX_VALUES);
    let is_whole: Vec<_> = tape.root().members().map(Text::is_whole).collect();
    assert_eq!(is_whole, [true, false], "the third is not noted");
    assert!(!tape.root().is_whole() && scan(r#"{"a": [1]}"#).root().is_whole());
}

#[test]
fn values_are_noted_to_a_depth_and_what_is_deeper_is_gone_over() {
    let nested = |depth| "[".repeat(depth) + &"]".repeat(depth);
    let is_whole = |json: &str| scan(json).root().is_whole();
    assert!(is_whole(&nested(MAX_DEPTH)) && !is_whole(&nested(MAX_DEPTH + 2)) && !is_whole(&nested(1 << 20)));
    assert!(is_whole(&format!(r#"{{"managedFields": {}}}"#, nested(1 << 20))));
    assert!(Tape::scan(&nested(1 << 20)[1..]).is_none());

    let json = format!(r#"{{"a": {{"deep": {}, "b": 1}}, "c": 2}}"#, nested(200));
    let tape = scan(&json);
    assert_eq!(tape.root().get("a").and_then(|a| a.get("b")).map(Text::json), Some("1"));
    assert_eq!(tape.root().get("c").map(Text::json), Some("2"));
}

#[test]
fn what_is_no_json_is_refused() {
    let wrong = [
        "",
        " ",
        "{",
        "[",
        "]",
        "{]",
        "[}",
        "[1",
        "[1,",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{,}",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{"a":1 "b":2}"#,
        "{a:1}",
        "{1:1}",
        "nul",
        "nulll",
        "True",
        "+1",
        "01",
        "1.",
        ".5",
        "1e",
        "1e+",
        "-",
        "--1",
        "0x1",
        "NaN",
        "1 1",
        "\"",
        r#""\"#,
        r#""\x""#,
        r#""\u12""#,
        r#""\u12g4""#,
        "\"\n\"",
        "\"12345678\u{1}\"",
        "'a'",
        "{}{}",
        "\u{feff}{}",
    ];
    for json in wrong {
        assert!(Tape::scan(json).is_none(), "{json}");
    }
}
