//! A text as JSON: the scanner takes what serde_json takes, and finds the same in it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pillion_engine::scanned;
use serde_json::Value;
use serde_json::value::RawValue;

/// What the scanner allows.
const MAX_DEPTH: usize = 128;

fuzz_target!(|text: &str| {
    let is_json = serde_json::from_str::<&RawValue>(text).is_ok();
    match scanned(text) {
        Some(found) => {
            assert!(is_json);
            // Beside the depth, serde_json refuses numbers out of all bounds and halves of characters when it reads them.
            if let Ok(value) = serde_json::from_str::<Value>(text) {
                assert_eq!(found, value);
            }
        }
        None => assert!(!is_json || text.matches(['[', '{']).count() > MAX_DEPTH),
    }
});
