//! Runs [`partisan_fuzz::wire_decode`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| partisan_fuzz::wire_decode(data));
