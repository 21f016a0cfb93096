//! What a program writes, line by line, with the time at which each line came.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use super::PATIENCE;

/// A line and when it came.
#[derive(Clone, Debug)]
pub struct Line {
    pub at: Instant,
    pub text: String,
}

/// Everything that came from one stream so far. Clones show the same.
#[derive(Clone)]
pub struct Output {
    name: String,
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    lines: Vec<Line>,
    ended: bool,
}

impl Output {
    /// Reads the stream on a thread of its own until it ends.
    pub fn of(name: &str, stream: impl Read + Send + 'static) -> Output {
        let output = Output { name: name.to_owned(), shared: Arc::default() };
        let shared = Arc::clone(&output.shared);
        std::thread::spawn(move || {
            let (state, grown) = &*shared;
            let mut stream = BufReader::new(stream);
            let mut bytes = Vec::new();
            while stream.read_until(b'\n', &mut bytes).unwrap_or(0) > 0 {
                let text = String::from_utf8_lossy(&bytes).trim_end().to_owned();
                state.lock().unwrap().lines.push(Line { at: Instant::now(), text });
                grown.notify_all();
                bytes.clear();
            }
            state.lock().unwrap().ended = true;
            grown.notify_all();
        });
        output
    }

    /// Waits until `find` finds something in the lines so far, and panics with the last of them when
    /// it does not come to that.
    pub fn find<T>(&self, what: &str, find: impl Fn(&[Line]) -> Option<T>) -> T {
        let (state, grown) = &*self.shared;
        let deadline = Instant::now() + PATIENCE;
        let mut state = state.lock().unwrap();
        loop {
            if let Some(found) = find(&state.lines) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || state.ended {
                let (name, lines) = (&self.name, text(&state.lines));
                let why = if state.ended { "it has ended" } else { "no more time" };
                // Not while it is locked: others want to see it when this test fails.
                drop(state);
                panic!("{name} did not say {what} ({why}), but:\n{lines}");
            }
            state = grown.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Waits for a line with this in it.
    pub fn wait_for(&self, part: &str) -> Line {
        self.wait_after(0, part)
    }

    /// Waits for a line with this in it that is not among the first `seen`.
    pub fn wait_after(&self, seen: usize, part: &str) -> Line {
        self.find(&format!("'{part}'"), |lines| {
            lines.iter().skip(seen).find(|line| line.text.contains(part)).cloned()
        })
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.shared.0.lock().unwrap().lines.len()
    }

    /// How many lines so far have this in them.
    pub fn count(&self, part: &str) -> usize {
        let state = self.shared.0.lock().unwrap();
        state.lines.iter().filter(|line| line.text.contains(part)).count()
    }

    /// Waits until the stream has ended, and gives all lines.
    pub fn whole(&self) -> Vec<Line> {
        let (state, grown) = &*self.shared;
        let ended = |state: &mut State| !state.ended;
        let (state, _) = grown.wait_timeout_while(state.lock().unwrap(), PATIENCE, ended).unwrap();
        assert!(state.ended, "{} does not end", self.name);
        state.lines.clone()
    }

    /// All text so far.
    pub fn text(&self) -> String {
        text(&self.shared.0.lock().unwrap().lines)
    }
}

fn text(lines: &[Line]) -> String {
    lines.iter().map(|line| line.text.clone() + "\n").collect()
}
