//! How long the loop that a test shares with what it tests stands still.

use std::cell::Cell;
use std::time::{Duration, Instant};

use tokio::time::sleep;

/// Longest time for which it may.
pub const LONGEST: Duration = Duration::from_secs(1);

/// The result of a future, if the loop never stood still for long meanwhile.
pub async fn steady<T>(what: &str, future: impl Future<Output = T>) -> T {
    let (last, longest) = (Cell::new(Instant::now()), Cell::new(Duration::ZERO));
    let beat = || longest.set(longest.get().max(last.replace(Instant::now()).elapsed()));
    let watch = async {
        loop {
            sleep(Duration::from_millis(5)).await;
            beat();
        }
    };
    let result = tokio::select! {
        never = watch => never,
        result = future => result,
    };
    beat();
    let longest = longest.get();
    assert!(longest < LONGEST, "{what}: the loop stood still for {longest:?}");
    result
}
