//! A line that is slow and long: what goes in comes out later, and no faster than the line carries it. What does not fit
//! into it waits at the sender's end.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Bytes that the line holds at each end beside those on their way.
const HOLDS: usize = 1024;

/// Bytes that are carried in one piece, at most and usually at least.
const PIECE: usize = 256;
const SMALLEST: f64 = 32.0;

/// What timers are late by at most: it is made up for.
const TICKS: Duration = Duration::from_millis(2);

/// What a line is like, in both directions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Bytes a second.
    pub(super) rate: u32,
    /// From one end to the other.
    pub(super) delay: Duration,
}

impl Line {
    /// The two ends of a stream through such a line.
    pub(super) fn ends(self) -> (DuplexStream, DuplexStream) {
        let ((near, near_line), (far, far_line)) = (duplex(HOLDS), duplex(HOLDS));
        let ((near_out, near_in), (far_out, far_in)) = (split(near_line), split(far_line));
        tokio::spawn(self.carry(near_out, far_in));
        tokio::spawn(self.carry(far_out, near_in));
        (near, far)
    }

    /// Carries one direction, until either end is gone.
    async fn carry(
        self,
        mut from: impl AsyncRead + Unpin,
        to: impl AsyncWrite + Unpin + Send + 'static,
    ) {
        // Most pieces are small: a packet of a session is the smallest there is.
        let under_way = f64::from(self.rate) * self.delay.as_secs_f64() / SMALLEST;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let (sender, receiver) = mpsc::channel(under_way.ceil() as usize + 1);
        tokio::spawn(self.deliver(receiver, to));
        let mut free = Instant::now();
        let mut piece = vec![0; PIECE];
        while let Ok(length @ 1..) = from.read(&mut piece).await {
            let time = Duration::from_secs(1).mul_f64(length as f64 / f64::from(self.rate));
            free = free.max(Instant::now() - TICKS) + time;
            sleep_until(free).await;
            let carried = piece.get(..length).unwrap_or_default().to_vec();
            if sender.send((free + self.delay, carried)).await.is_err() {
                return;
            }
        }
    }

    async fn deliver(
        self,
        mut receiver: mpsc::Receiver<(Instant, Vec<u8>)>,
        mut to: impl AsyncWrite + Unpin,
    ) {
        while let Some((at, piece)) = receiver.recv().await {
            sleep_until(at).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    }
}
