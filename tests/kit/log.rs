//! What is logged on this thread while a test runs.

use std::io;
use std::sync::{Arc, Mutex, Once};

use tracing::subscriber::DefaultGuard;

#[derive(Clone, Default)]
struct Text(Arc<Mutex<Vec<u8>>>);

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Keeps the lines at level `info` and above until it is dropped.
pub struct Log {
    text: Text,
    _guard: DefaultGuard,
}

impl Log {
    pub fn new() -> Log {
        // Whether anybody wants a line is remembered for all threads at once: while tests come and go
        // somebody always has to.
        static SOMEBODY: Once = Once::new();
        SOMEBODY.call_once(|| {
            let nowhere = tracing_subscriber::fmt().with_writer(io::sink).finish();
            tracing::subscriber::set_global_default(nowhere).unwrap();
        });
        let text = Text::default();
        let writer = text.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::INFO)
            .with_ansi(false)
            .without_time()
            .with_writer(move || writer.clone())
            .finish();
        Log { text, _guard: tracing::subscriber::set_default(subscriber) }
    }

    pub fn text(&self) -> String {
        String::from_utf8(self.text.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines with this text in them.
    pub fn lines(&self, part: &str) -> Vec<String> {
        self.text().lines().filter(|line| line.contains(part)).map(str::to_owned).collect()
    }

    /// Waits for a line with this text in it.
    pub async fn until(&self, part: &str) {
        let deadline = tokio::time::Instant::now() + super::PATIENCE;
        while self.lines(part).is_empty() {
            assert!(tokio::time::Instant::now() < deadline, "no '{part}' in:\n{}", self.text());
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    /// The one line with this text in it.
    pub fn one(&self, part: &str) -> String {
        let mut lines = self.lines(part);
        assert_eq!(lines.len(), 1, "'{part}' in:\n{}", self.text());
        lines.remove(0)
    }
}
