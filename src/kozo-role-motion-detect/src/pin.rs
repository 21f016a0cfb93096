//! The pin of this machine: of a Raspberry Pi, whose registers rppal reads, or of any chip with a GPIO character device.

mod chip;
mod pi;

use std::fmt::Display;

use crate::options::Options;
use crate::watch::{Line, Trouble};

/// That this user may not use a file. The drop-in that lets the service use it applies from the next start of the service.
fn not_allowed(file: impl Display) -> Trouble {
    Trouble(format!(
        "not allowed to use {file}: restart the Node, if it has this Role since a reload; its user must be in the group gpio"
    ))
}

/// A pin that is open.
pub(crate) enum Pin {
    Pi(pi::PiPin),
    Chip(chip::ChipLine),
}

impl Pin {
    /// Opens the pin that the options name: that of a Raspberry Pi by its registers, if the kernel gives access to them and no chip
    /// is named.
    ///
    /// # Errors
    /// When there is none, or others use it, or this user may not.
    pub(crate) fn open(options: &Options) -> Result<Pin, Trouble> {
        match (&options.chip, pi::model()) {
            (None, Some(model)) => pi::PiPin::open(&model, options).map(Pin::Pi),
            (chip, _) => chip::ChipLine::open(chip.as_deref(), options).map(Pin::Chip),
        }
    }
}

impl Line for Pin {
    fn name(&self) -> &str {
        match self {
            Pin::Pi(pin) => pin.name(),
            Pin::Chip(line) => line.name(),
        }
    }

    fn is_active(&self) -> Result<bool, Trouble> {
        match self {
            Pin::Pi(pin) => pin.is_active(),
            Pin::Chip(line) => line.is_active(),
        }
    }

    async fn edge(&mut self) -> Result<bool, Trouble> {
        match self {
            Pin::Pi(pin) => pin.edge().await,
            Pin::Chip(line) => line.edge().await,
        }
    }
}
