//! What long lines of all programs together may take of the Node's memory.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::fault::{Fault, code};
use crate::message::MAX_MESSAGE;

/// Bytes that each conversation may hold of a line without asking.
pub(crate) const FREE: usize = 64 * 1024;

/// Bytes of the longest line: one that sends the largest Message in Base64.
pub const LONGEST_LINE: usize = MAX_MESSAGE / 3 * 4 + FREE;

/// Bytes that all conversations of a Node may hold of lines longer than [`FREE`], unless told otherwise.
const ALL: usize = 64 * 1024 * 1024;

/// What is given away at a time, in bytes.
const UNIT: usize = 1024;

/// The memory that the conversations of a Node share for long lines. Clones are the same one.
#[derive(Clone, Debug)]
pub struct LineBudget {
    units: Arc<Semaphore>,
    bytes: usize,
}

impl Default for LineBudget {
    fn default() -> Self {
        LineBudget::new(ALL)
    }
}

impl LineBudget {
    /// A budget of so many bytes.
    pub fn new(bytes: usize) -> LineBudget {
        LineBudget { units: Arc::new(Semaphore::new(bytes / UNIT)), bytes }
    }

    /// Takes room for so many bytes; it is free again when what is given is dropped.
    pub(crate) fn take(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Fault> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        Arc::clone(&self.units).try_acquire_many_owned(units).map_err(|_| {
            let all = self.bytes;
            let text = format!(
                "it is longer than {FREE} bytes, and the long lines of all programs have used up their \
                 {all} bytes"
            );
            Fault::new(code::INVALID_REQUEST, text)
        })
    }
}
