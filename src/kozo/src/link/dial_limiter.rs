//! How many attempts to reach a Peer go on at once.
//!
//! Greeting a Peer takes signatures and a key exchange: a millisecond or two of a processor, twenty of a
//! small one. A Node that has hundreds of Peers must not begin with all of them together: each would
//! be done when the last one is, which for all of them is too late. So only so many go on at
//! once, and the others wait for their turn.
//!
//! An address behind which nothing answers needs no processor and much time. It must not hold up
//! those that do answer, and so an attempt that takes long goes on beside the counted ones.

use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::sleep;

/// Attempts that go on at once.
const AT_ONCE: usize = 64;

/// How long an attempt is counted: longer than one takes that leads to a Peer nearby.
const COUNTED: Duration = Duration::from_secs(1);

/// The turns of all attempts on one thread: of a Node, or of all Nodes where several share a process.
#[derive(Debug)]
pub struct DialLimiter(Semaphore);

impl Default for DialLimiter {
    fn default() -> Self {
        DialLimiter(Semaphore::new(AT_ONCE))
    }
}

impl DialLimiter {
    /// Makes an attempt when its turn has come. Cancel safe if the attempt is.
    pub async fn take_turn<T>(&self, attempt: impl Future<Output = T>) -> T {
        // Never closed, so there always is a turn.
        let turn = self.0.acquire().await;
        tokio::pin!(attempt);
        tokio::select! {
            biased;
            result = &mut attempt => return result,
            () = sleep(COUNTED) => drop(turn),
        }
        attempt.await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]
    use std::future::pending;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::{Instant, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_so_many_go_on_at_once() {
        let dial_limiter = Arc::new(DialLimiter::default());
        let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let attempts = (0..10 * AT_ONCE).map(|_| {
            let (dial_limiter, now, most) =
                (Arc::clone(&dial_limiter), Arc::clone(&now), Arc::clone(&most));
            tokio::spawn(async move {
                dial_limiter
                    .take_turn(async {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        sleep(COUNTED / 2).await;
                        now.fetch_sub(1, Ordering::SeqCst);
                    })
                    .await;
            })
        });
        futures_util::future::join_all(attempts.collect::<Vec<_>>()).await;
        assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_hang_do_not_hold_up_others_for_long() {
        let dial_limiter = Arc::new(DialLimiter::default());
        for _ in 0..3 * AT_ONCE {
            let dial_limiter = Arc::clone(&dial_limiter);
            tokio::spawn(async move { dial_limiter.take_turn(pending::<()>()).await });
        }
        tokio::task::yield_now().await;
        let began = Instant::now();
        timeout(10 * COUNTED, dial_limiter.take_turn(async {})).await.expect("its turn comes");
        assert!(began.elapsed() <= 4 * COUNTED, "after {:?}", began.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_given_up_gives_its_turn_back() {
        let dial_limiter = DialLimiter::default();
        for _ in 0..2 * AT_ONCE {
            let hanging = dial_limiter.take_turn(pending::<()>());
            let _ = timeout(COUNTED / 10, hanging).await;
        }
        assert_eq!(dial_limiter.0.available_permits(), AT_ONCE);
    }
}
