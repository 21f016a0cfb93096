//! Keeping a value that changes often: the newest one is saved, seldom enough for an SD card.

use std::time::Duration;

use rmpv::Value;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::role::storage::{Storage, StorageError};

/// Shortest time from the start of one save to the start of the next.
const PAUSE: Duration = Duration::from_secs(1);

/// The same after a save that failed.
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(10);

/// Saves the value set last, at most once a second, while its Role goes on with other things.
pub(super) struct Saver {
    storage: Storage,
    newest: Option<Value>,
    running: Option<JoinHandle<(Value, Result<(), StorageError>)>>,
    not_before: Instant,
}

impl Saver {
    pub(super) fn new(storage: Storage) -> Saver {
        Saver { storage, newest: None, running: None, not_before: Instant::now() }
    }

    /// Has this value saved when it is time, unless another replaces it before.
    pub(super) fn set(&mut self, value: Value) {
        self.newest = Some(value);
    }

    /// Does what there is to do, and returns what became of a save whenever one has ended. A value that was
    /// not saved is tried again later. Cancel safe.
    ///
    /// # Errors
    /// Why it was not saved.
    pub(super) async fn work(&mut self) -> Result<(), StorageError> {
        loop {
            if self.running.is_some() {
                return self.running_save().await;
            } else if self.newest.is_some() {
                tokio::time::sleep_until(self.not_before).await;
                self.start();
            } else {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Saves what is not saved yet, at once.
    pub(super) async fn finish(mut self) -> Result<(), StorageError> {
        // If this one failed, its value is tried again below.
        let _ = self.running_save().await;
        self.start();
        self.running_save().await
    }

    fn start(&mut self) {
        if let Some(value) = self.newest.take() {
            self.not_before = Instant::now() + PAUSE;
            let storage = self.storage.clone();
            self.running = Some(tokio::spawn(async move {
                let result = storage.save(&value).await;
                (value, result)
            }));
        }
    }

    async fn running_save(&mut self) -> Result<(), StorageError> {
        let Some(running) = &mut self.running else { return Ok(()) };
        let ended = running.await;
        self.running = None;
        let Ok((value, result)) = ended else { return Err(StorageError::Stopping) };
        if result.is_err() {
            self.newest.get_or_insert(value);
            self.not_before = Instant::now() + PAUSE_AFTER_ERROR;
        }
        result
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_newest_value_is_saved_at_most_once_a_second() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::new(folder.path(), "role");
        let mut saver = Saver::new(storage.clone());
        let start = Instant::now();
        let mut files = std::collections::HashSet::new();
        for number in 0..50 {
            saver.set(Value::from(number));
            let wait = tokio::time::sleep_until(start + Duration::from_millis(100 * number));
            tokio::pin!(wait);
            loop {
                tokio::select! {
                    () = &mut wait => break,
                    saved = saver.work() => saved.unwrap(),
                }
            }
            // Every save makes a new file, with a time of its own.
            if let Ok(file) = std::fs::metadata(storage.path()) {
                files.insert((file.ino(), file.mtime(), file.mtime_nsec()));
            }
        }
        assert!((2..=6).contains(&files.len()), "{} saves in five seconds", files.len());
        saver.finish().await.unwrap();
        assert_eq!(storage.load().await.unwrap(), Some(Value::from(49)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_value_that_was_not_saved_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        let storage = Storage::new(&inner, "role");
        let mut saver = Saver::new(storage.clone());
        saver.set(Value::from(1));
        assert!(matches!(saver.work().await, Err(StorageError::Folder { .. })));
        std::fs::create_dir(folder.path().join("a")).unwrap();
        saver.work().await.unwrap();
        assert_eq!(storage.load().await.unwrap(), Some(Value::from(1)));
        saver.finish().await.unwrap();
    }

    #[tokio::test]
    async fn nothing_to_save_is_nothing_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let storage = Storage::new(folder.path(), "role");
        Saver::new(storage.clone()).finish().await.unwrap();
        assert!(!storage.path().exists());
    }
}
