//! The daemon `kozo`.

fn main() {}
