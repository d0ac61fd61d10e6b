#![no_main]

#[expect(dead_code, reason = "each target tries one of them")]
#[path = "../../tests/it/fuzzed.rs"]
mod laws;

libfuzzer_sys::fuzz_target!(|data: &[u8]| laws::detect(data));
