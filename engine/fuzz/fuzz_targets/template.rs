//! Bytes as a template file; what is accepted is put into a pod.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let templates = pillion_fuzz::accepted(text);
    let names: Vec<String> = templates.iter().map(|template| template.name.to_string()).collect();
    if names.is_empty() {
        return;
    }
    let catalog = pillion_fuzz::catalog(templates);
    pillion_fuzz::decide(&catalog, &pillion_fuzz::pod(&[("pillion.dev/templates", &names.join(","))]));
});
