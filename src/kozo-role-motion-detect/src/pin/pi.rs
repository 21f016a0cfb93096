//! A pin of a Raspberry Pi: its level is a bit of memory, and the kernel says when it changes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rppal::gpio::{Error, Gpio, InputPin, Mode, Trigger};
use rppal::system::DeviceInfo;
use tokio::sync::mpsc::{Receiver, channel};

use super::{chip, not_allowed};
use crate::options::{Bias, Options};
use crate::watch::{Line, Trouble};

/// Changes that wait to be told. When there are more, the latest ones are dropped, and the level is looked at once the others are told.
const MOST_EDGES: usize = 64;

/// A pin that is open. It is given back when this is dropped.
pub(crate) struct PiPin {
    name: String,
    pin: InputPin,
    is_active_low: bool,
    edges: Receiver<bool>,
    has_dropped: Arc<AtomicBool>,
}

/// What the kernel calls the chips whose pins these are: of the Raspberry Pi 3 and older ones, of the 4, and of the 5.
const LABELS: [&str; 3] = ["pinctrl-bcm2835", "pinctrl-bcm2711", "pinctrl-rp1"];

/// The registers of the pins, of the Raspberry Pi 4 and older ones and of the Raspberry Pi 5. The kernel of Debian has neither.
const REGISTERS: [&str; 2] = ["/dev/gpiomem", "/dev/gpiomem0"];

/// What this machine is, if it is a Raspberry Pi whose registers can be read.
pub(crate) fn model() -> Option<String> {
    let has_registers = REGISTERS.iter().any(|file| Path::new(file).exists());
    let info = has_registers.then(DeviceInfo::new)?;
    info.ok().map(|info| info.model().to_string())
}

impl PiPin {
    /// Opens a pin of this machine, a Raspberry Pi of this model.
    ///
    /// # Errors
    /// When it has no such pin, or others use it, or this user may not.
    pub(crate) fn open(model: &str, options: &Options) -> Result<PiPin, Trouble> {
        let number = options.pin;
        let name = format!("pin {number} of the {model}");
        let unavailable = || Trouble(format!("the {model} has no pin {number}"));
        let trouble = |error: Error| match error {
            Error::PinNotAvailable(_) => unavailable(),
            Error::PermissionDenied(file) => not_allowed(file),
            error => Trouble(format!("cannot use {name}: {error}")),
        };
        let pin = u8::try_from(number).map_err(|_| unavailable())?;
        let pin = Gpio::new().and_then(|gpio| gpio.get(pin)).map_err(trouble)?;
        // The registers ask nobody: from here on the pin would be an input, whatever it was.
        if let Some(trouble) = chip::user_of(&LABELS, number, &name) {
            return Err(trouble);
        }
        if !matches!(pin.mode(), Mode::Input | Mode::Output | Mode::Null) {
            let function = pin.mode();
            return Err(Trouble(format!("{name} is in use by a device of the board ({function})")));
        }
        let mut pin = match options.bias {
            Bias::None => pin.into_input(),
            Bias::PullUp => pin.into_input_pullup(),
            Bias::PullDown => pin.into_input_pulldown(),
        };
        let is_active_low = options.active_low;
        let (sender, edges) = channel(MOST_EDGES);
        let has_dropped = Arc::new(AtomicBool::new(false));
        if options.edges {
            let debounce = Some(options.debounce());
            let has_dropped = Arc::clone(&has_dropped);
            pin.set_async_interrupt(Trigger::Both, debounce, move |event| {
                let is_high = event.trigger == Trigger::RisingEdge;
                if sender.try_send(is_high != is_active_low).is_err() {
                    has_dropped.store(true, Ordering::Relaxed);
                }
            })
            .map_err(trouble)?;
        }
        Ok(PiPin { name, pin, is_active_low, edges, has_dropped })
    }
}

impl Line for PiPin {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_active(&self) -> Result<bool, Trouble> {
        Ok(self.pin.is_high() != self.is_active_low)
    }

    async fn edge(&mut self) -> Result<bool, Trouble> {
        if self.edges.is_empty() && self.has_dropped.swap(false, Ordering::Relaxed) {
            return self.is_active();
        }
        let lost = || Trouble(format!("changes of {} are not told any more", self.name));
        self.edges.recv().await.ok_or_else(lost)
    }
}
