//! A text as JSON: the scanner takes what serde_json takes, and finds the same in it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pillion_engine::scanned;
use serde_json::Value;
use serde_json::value::RawValue;

fuzz_target!(|text: &str| {
    let found = scanned(text);
    assert_eq!(found.is_some(), serde_json::from_str::<&RawValue>(text).is_ok());
    // Beside the depth, serde_json refuses numbers out of all bounds and halves of characters when it reads them.
    if let Ok(value) = serde_json::from_str::<Value>(text) {
        assert_eq!(found, Some(value));
    }
});
