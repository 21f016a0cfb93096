//! The daemon `kozo`.

fn main() -> std::process::ExitCode {
    kozo::cli::run()
}
