//! When there is something to say of a pin: every period, when its level changes, and when it cannot be read.

use std::convert::Infallible;
use std::mem;
use std::time::Duration;

use kozo_role::Failure;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// How long to wait before a pin that cannot be read is tried again: at first, and at most.
const PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How often to look, and for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Time between two looks.
    pub(crate) period: Duration,
    /// Whether changes between them count.
    pub(crate) has_edges: bool,
    /// How long a level has to last.
    pub(crate) debounce: Duration,
}

/// Why a pin cannot be read, for people.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Trouble(pub(crate) String);

/// What a sensor is connected to.
pub(crate) trait Line {
    /// What it is, for people.
    fn name(&self) -> &str;

    /// Whether there is motion now.
    ///
    /// # Errors
    /// When it cannot be read any more.
    fn is_active(&self) -> Result<bool, Trouble>;

    /// Waits for the next change, and tells whether there is motion since then. Nothing is lost if this is dropped.
    ///
    /// # Errors
    /// When it cannot be read any more.
    async fn edge(&mut self) -> Result<bool, Trouble>;
}

/// What has become known.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum News {
    /// The pin of this name is there; whether that was not told since the last new trouble.
    Opened { name: String, is_new: bool },
    /// Whether there is motion, what was known before, and whether that is news of this pin since it is open.
    Motion { is_there: bool, before: Option<bool>, is_new: bool, name: String },
    /// The pin cannot be read, and is tried again; whether that is because of something else than the last time.
    Trouble { text: String, is_new: bool },
}

/// Why a pin is watched no more.
enum End {
    Trouble(Trouble),
    Untold(Failure),
}

impl From<Trouble> for End {
    fn from(trouble: Trouble) -> End {
        End::Trouble(trouble)
    }
}

/// Watches a pin for ever, and opens it anew when it cannot be read.
///
/// # Errors
/// When nothing can be told.
pub(crate) async fn watch<L: Line>(
    pace: &Pace,
    mut open: impl FnMut() -> Result<L, Trouble>,
    tell: impl AsyncFn(News) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut known = None;
    let mut last: Option<Trouble> = None;
    let mut pause = PAUSE;
    let mut is_told = false;
    loop {
        let trouble = match open() {
            Ok(mut line) => {
                let is_new = !mem::replace(&mut is_told, true);
                tell(News::Opened { name: line.name().to_owned(), is_new }).await?;
                let began = Instant::now();
                let Err(end) = follow(&mut line, pace, &mut known, &tell).await;
                // One that comes and goes is not told about again and again.
                if began.elapsed() >= LONGEST_PAUSE {
                    (last, pause) = (None, PAUSE);
                }
                match end {
                    End::Trouble(trouble) => trouble,
                    End::Untold(failure) => return Err(failure),
                }
            }
            Err(trouble) => trouble,
        };
        let is_new = last.as_ref() != Some(&trouble);
        is_told &= !is_new;
        tell(News::Trouble { text: trouble.0.clone(), is_new }).await?;
        last = Some(trouble);
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Tells of one pin until it cannot be read, or nothing can be told. What was known before is compared with.
async fn follow<L: Line>(
    line: &mut L,
    pace: &Pace,
    known: &mut Option<bool>,
    tell: &impl AsyncFn(News) -> Result<(), Failure>,
) -> Result<Infallible, End> {
    let mut shown = None;
    let mut ticks = interval(pace.period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        let is_there = tokio::select! {
            biased;
            // In the order in which it happened.
            edge = line.edge(), if pace.has_edges => edge?,
            _ = ticks.tick() => looked_at(line, pace.debounce, *known).await?,
        };
        let (before, name) = (known.replace(is_there), line.name().to_owned());
        let is_new = shown.replace(is_there) != Some(is_there);
        tell(News::Motion { is_there, before, is_new, name }).await.map_err(End::Untold)?;
    }
}

/// Whether there is motion now. What is known stays so until it has been different for long enough.
async fn looked_at<L: Line>(
    line: &L,
    debounce: Duration,
    known: Option<bool>,
) -> Result<bool, Trouble> {
    let is_there = line.is_active()?;
    match known {
        Some(known) if known != is_there => {
            sleep(debounce).await;
            Ok(if line.is_active()? == is_there { is_there } else { known })
        }
        _ => Ok(is_there),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
    use tokio::time::timeout;

    use super::*;

    /// A wire whose level the test sets, and which it can cut.
    struct Wire {
        level: Rc<RefCell<Result<bool, Trouble>>>,
        edges: UnboundedReceiver<bool>,
    }

    impl Line for Wire {
        fn name(&self) -> &str {
            "wire"
        }

        fn is_active(&self) -> Result<bool, Trouble> {
            self.level.borrow().clone()
        }

        async fn edge(&mut self) -> Result<bool, Trouble> {
            match self.edges.recv().await {
                Some(level) => Ok(level),
                None => std::future::pending().await,
            }
        }
    }

    fn pace(has_edges: bool) -> Pace {
        Pace { period: Duration::from_millis(500), has_edges, debounce: Duration::from_millis(50) }
    }

    fn trouble() -> Trouble {
        Trouble("cut".to_owned())
    }

    fn opened(is_new: bool) -> News {
        News::Opened { name: "wire".to_owned(), is_new }
    }

    fn motion(is_there: bool, before: Option<bool>) -> News {
        let is_new = before != Some(is_there);
        News::Motion { is_there, before, is_new, name: "wire".to_owned() }
    }

    /// What is told within this time, each with the milliseconds until then.
    async fn told<L: Line>(
        pace: Pace,
        open: impl FnMut() -> Result<L, Trouble>,
        time: Duration,
    ) -> Vec<(u128, News)> {
        let seen = RefCell::new(Vec::new());
        let began = Instant::now();
        let tell = async |news| {
            seen.borrow_mut().push((began.elapsed().as_millis(), news));
            Ok(())
        };
        assert!(timeout(time, watch(&pace, open, tell)).await.is_err());
        seen.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn every_period_and_at_once_when_it_changes() {
        for (has_edges, wanted) in [
            (
                true,
                vec![
                    (0, motion(false, None)),
                    (200, motion(true, Some(false))),
                    (500, motion(true, Some(true))),
                ],
            ),
            // What has changed is looked at twice.
            (false, vec![(0, motion(false, None)), (550, motion(true, Some(false)))]),
        ] {
            let level = Rc::new(RefCell::new(Ok(false)));
            let (edge, edges) = unbounded_channel();
            let mut wire = Some(Wire { level: level.clone(), edges });
            let change = async {
                sleep(Duration::from_millis(200)).await;
                *level.borrow_mut() = Ok(true);
                edge.send(true).unwrap();
            };
            let watched =
                told(pace(has_edges), || wire.take().ok_or(trouble()), Duration::from_millis(600));
            let (mut told, ()) = tokio::join!(watched, change);
            assert_eq!(told.remove(0), (0, opened(true)));
            assert_eq!(told, wanted, "{has_edges}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_last_is_no_motion() {
        let level = Rc::new(RefCell::new(Ok(false)));
        let mut wire = Some(Wire { level: level.clone(), edges: unbounded_channel().1 });
        let spike = async {
            sleep(Duration::from_millis(499)).await;
            *level.borrow_mut() = Ok(true);
            sleep(Duration::from_millis(10)).await;
            *level.borrow_mut() = Ok(false);
        };
        let watched =
            told(pace(false), || wire.take().ok_or(trouble()), Duration::from_millis(900));
        let (told, ()) = tokio::join!(watched, spike);
        let wanted = [(0, motion(false, None)), (550, motion(false, Some(false)))];
        assert_eq!(told.get(1..), Some(&wanted[..]));
    }

    #[tokio::test(start_paused = true)]
    async fn trouble_is_told_once_and_tried_again_ever_less_often() {
        let told = told(pace(true), || Err::<Wire, _>(trouble()), Duration::from_secs(200)).await;
        let wanted = |seconds: u128, is_new| {
            (seconds * 1000, News::Trouble { text: "cut".to_owned(), is_new })
        };
        let seconds = [0, 1, 3, 7, 15, 31, 63, 123, 183];
        let wanted: Vec<_> = seconds.into_iter().map(|at| wanted(at, at == 0)).collect();
        assert_eq!(told, wanted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wire_that_comes_and_goes_is_told_about_once() {
        let level = Rc::new(RefCell::new(Err(trouble())));
        let open = || Ok(Wire { level: level.clone(), edges: unbounded_channel().1 });
        let told = told(pace(true), open, Duration::from_secs(10)).await;
        let told: Vec<_> = told.into_iter().map(|(_, news)| news).collect();
        let cut = |is_new| News::Trouble { text: "cut".to_owned(), is_new };
        let wanted = [(true, true), (true, false), (false, false), (false, false)];
        let wanted: Vec<_> =
            wanted.into_iter().flat_map(|(there, gone)| [opened(there), cut(gone)]).collect();
        assert_eq!(told, wanted);
    }

    #[tokio::test(start_paused = true)]
    async fn a_wire_that_is_cut_and_mended_goes_on() {
        let level = Rc::new(RefCell::new(Ok(true)));
        let open = || {
            level.borrow().clone()?;
            Ok(Wire { level: level.clone(), edges: unbounded_channel().1 })
        };
        let cut = async {
            sleep(Duration::from_millis(600)).await;
            *level.borrow_mut() = Err(trouble());
            sleep(Duration::from_millis(1100)).await;
            *level.borrow_mut() = Ok(true);
        };
        let (told, ()) = tokio::join!(told(pace(true), open, Duration::from_millis(4100)), cut);
        let at_first = News::Trouble { text: "cut".to_owned(), is_new: true };
        let wanted = [
            (1000, at_first),
            (2000, opened(true)),
            // Known, but it has to be shown again.
            (
                2000,
                News::Motion {
                    is_there: true,
                    before: Some(true),
                    is_new: true,
                    name: "wire".to_owned(),
                },
            ),
        ];
        assert_eq!(told.get(3..6), Some(&wanted[..]), "{told:?}");
    }
}
