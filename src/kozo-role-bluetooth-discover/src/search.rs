//! How long a search takes, and when the next one begins.

use std::convert::Infallible;
use std::time::Duration;

use kozo_bluetooth::bluer::Address;
use kozo_role::Failure;
use tokio::time::{Instant, sleep, timeout};

use crate::device::Found;

/// How much longer a search takes at most when a new device has not said its name. An inquiry takes 10.24 s, and devices that are
/// asked are asked after it, for 10.24 s: with the shortest search that is useful, of 8 s.
const NAMES: Duration = Duration::from_secs(13);

/// How often to look whether names have come.
const STEP: Duration = Duration::from_secs(1);

/// How long to search, and when again.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// How long a search takes.
    pub(crate) search: Duration,
    /// Time between two of them.
    pub(crate) cooldown: Duration,
}

/// A search that has begun. It ends when this is dropped.
pub(crate) trait Search {
    /// Waits until something else ends it.
    async fn ended(&mut self);

    /// What it has found up to now; nothing if it has been ended.
    ///
    /// # Errors
    /// When that cannot be told.
    async fn found(&self) -> Result<Option<Found>, Failure>;
}

/// Searches for ever. What has ended before its time is not told.
///
/// # Errors
/// When that is refused, or nothing can be told.
pub(crate) async fn search<S: Search>(
    pace: &Pace,
    begin: impl AsyncFn() -> Result<S, Failure>,
    knows: impl Fn(Address) -> bool,
    tell: impl AsyncFn(Found) -> Result<(), Failure>,
) -> Result<Infallible, Failure> {
    loop {
        if let Some(found) = whole(begin().await?, pace.search, &knows).await? {
            tell(found).await?;
        }
        sleep(pace.cooldown).await;
    }
}

/// What a search finds in its time; nothing if it is ended before that.
async fn whole(
    mut search: impl Search,
    time: Duration,
    knows: impl Fn(Address) -> bool,
) -> Result<Option<Found>, Failure> {
    let mut time = time;
    let latest = Instant::now() + time + NAMES;
    loop {
        if timeout(time, search.ended()).await.is_ok() {
            return Ok(None);
        }
        let Some(found) = search.found().await? else {
            return Ok(None);
        };
        let is_asked =
            found.devices.iter().any(|device| device.is_asked_its_name() && !knows(device.address));
        if !is_asked || Instant::now() >= latest {
            return Ok(Some(found));
        }
        time = STEP;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::pending;
    use std::rc::Rc;

    use super::*;
    use crate::device::tests::device;

    const PACE: Pace = Pace { search: Duration::from_secs(8), cooldown: Duration::from_secs(30) };

    /// A search that finds a device, which says its name later.
    struct Script {
        began: Instant,
        /// Seconds until it says it.
        name: u64,
        /// Seconds until the search is ended.
        end: Option<u64>,
        open: Rc<Cell<i32>>,
    }

    impl Search for Script {
        async fn ended(&mut self) {
            match self.end {
                Some(seconds) => {
                    tokio::time::sleep_until(self.began + Duration::from_secs(seconds)).await
                }
                None => pending().await,
            }
        }

        async fn found(&self) -> Result<Option<Found>, Failure> {
            let is_named = self.began.elapsed() >= Duration::from_secs(self.name);
            let mut phone = device(1, if is_named { "Phone" } else { "" });
            phone.class = Some(0x5a_020c);
            Ok(Some(Found { devices: vec![phone], ..Found::default() }))
        }
    }

    impl Drop for Script {
        fn drop(&mut self) {
            self.open.set(self.open.get() - 1);
        }
    }

    /// What is told within 100 seconds, each with the seconds until then, by searches that go so.
    async fn told(name: u64, end: Option<u64>, knows: bool) -> Vec<(u64, String)> {
        let open = Rc::new(Cell::new(0));
        let told = RefCell::new(Vec::new());
        let start = Instant::now();
        let begin = async || {
            assert_eq!(open.replace(1), 0, "one at a time");
            Ok(Script { began: Instant::now(), name, end, open: open.clone() })
        };
        let tell = async |found: Found| {
            assert_eq!(open.get(), 0, "it has ended");
            let name = found.devices.into_iter().next().unwrap().name;
            told.borrow_mut().push((start.elapsed().as_secs(), name));
            Ok(())
        };
        let searched = search(&PACE, begin, |_| knows, tell);
        assert!(timeout(Duration::from_secs(100), searched).await.is_err());
        told.into_inner()
    }

    fn at(told: &[(u64, &str)]) -> Vec<(u64, String)> {
        told.iter().map(|(seconds, name)| (*seconds, (*name).to_owned())).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn searches_and_pauses_take_turns() {
        assert_eq!(told(0, None, false).await, at(&[(8, "Phone"), (46, "Phone"), (84, "Phone")]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_device_is_given_time_to_say_its_name() {
        assert_eq!(told(15, None, false).await, at(&[(15, "Phone"), (60, "Phone")]));
        assert_eq!(told(30, None, false).await, at(&[(21, ""), (72, "")]));
        // One that was there before has had its time.
        assert_eq!(told(30, None, true).await, at(&[(8, ""), (46, ""), (84, "")]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_search_that_is_ended_says_nothing() {
        assert_eq!(told(0, Some(3), false).await, []);
        assert_eq!(told(30, Some(12), false).await, []);
    }
}
