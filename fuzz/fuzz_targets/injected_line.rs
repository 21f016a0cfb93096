//! A line for the injector: any text is a value, a Message, or an error that names a place in it.
#![no_main]

use kozo::roles::message_injector::injection::Injection;
use kozo::value::literal;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &str| {
    match literal::parse(line) {
        Ok(value) => {
            // What is read can be sent: it encodes, and nests no deeper than Messages may.
            let mut encoded = Vec::new();
            rmpv::encode::write_value(&mut encoded, &value).expect("memory takes everything");
        }
        Err(error) => assert!(error.column >= 1 && error.column <= line.chars().count() + 1),
    }
    let _ = Injection::parse(line);
});
