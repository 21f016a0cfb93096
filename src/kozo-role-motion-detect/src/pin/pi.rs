//! A pin of a Raspberry Pi: its level is a bit of memory, and the kernel says when it changes.

use std::path::Path;

use rppal::gpio::{Error, Gpio, InputPin, Trigger};
use rppal::system::DeviceInfo;
use tokio::sync::mpsc::{Receiver, channel};

use crate::options::{Bias, Options};
use crate::watch::{Line, Trouble};

/// Changes that wait to be told. When there are more, the latest ones are dropped: the next look at the level tells.
const MOST_EDGES: usize = 64;

/// A pin that is open. It is given back when this is dropped.
pub(crate) struct PiPin {
    name: String,
    pin: InputPin,
    is_active_low: bool,
    edges: Receiver<bool>,
}

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
            Error::PermissionDenied(file) => Trouble(format!(
                "not allowed to use {file}: is the user of the Node in the group gpio?"
            )),
            error => Trouble(format!("cannot use {name}: {error}")),
        };
        let pin = u8::try_from(number).map_err(|_| unavailable())?;
        let pin = Gpio::new().and_then(|gpio| gpio.get(pin)).map_err(trouble)?;
        let mut pin = match options.bias {
            Bias::None => pin.into_input(),
            Bias::PullUp => pin.into_input_pullup(),
            Bias::PullDown => pin.into_input_pulldown(),
        };
        let is_active_low = options.active_low;
        let (sender, edges) = channel(MOST_EDGES);
        if options.edges {
            let debounce = Some(options.debounce());
            pin.set_async_interrupt(Trigger::Both, debounce, move |event| {
                let is_high = event.trigger == Trigger::RisingEdge;
                let _ = sender.try_send(is_high != is_active_low);
            })
            .map_err(trouble)?;
        }
        Ok(PiPin { name, pin, is_active_low, edges })
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
        let lost = || Trouble(format!("changes of {} are not told any more", self.name));
        self.edges.recv().await.ok_or_else(lost)
    }
}
