//! Runs [`partisan_fuzz::handshake`] under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| partisan_fuzz::handshake(data));
