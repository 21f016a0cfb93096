//! A line of a GPIO chip, by its character device (`/dev/gpiochipN`, version 2 of the kernel's interface, Linux 5.10).

use std::fmt::Display;
use std::path::{Path, PathBuf};

use gpiocdev::line::{Bias as LineBias, EdgeDetection, EdgeKind, Value};
use gpiocdev::{Chip, Error, Request};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::CONSUMER;
use crate::options::{Bias, Options};
use crate::watch::{Line, Trouble};

/// The kernel's number for what a user may not (errno(3), EACCES).
const NOT_ALLOWED: i32 = 13;

/// What may help where no chip is seen: the drop-in applies from the next start of the service.
const NONE: &str = "; if the Node has this Role since a reload, restart the Node";

/// A line that is open. It is given back when this is dropped.
pub(crate) struct ChipLine {
    name: String,
    offset: u32,
    request: AsyncFd<Request>,
}

impl ChipLine {
    /// Opens a line of the chip of this name, file or label, or of the first chip.
    ///
    /// # Errors
    /// When there is none, or others use it, or this user may not.
    pub(crate) fn open(chip: Option<&str>, options: &Options) -> Result<ChipLine, Trouble> {
        let chip = find(chip)?;
        let (path, offset) = (chip.path().to_owned(), options.pin);
        let info = chip.info().map_err(|error| Trouble(format!("{}: {error}", path.display())))?;
        let shown = match info.label.as_str() {
            "" => info.name,
            label => format!("{} ({label})", info.name),
        };
        let name = format!("pin {offset} of {shown}");
        if offset >= info.num_lines {
            let last = info.num_lines.saturating_sub(1);
            return Err(Trouble(format!("there is no {name}: it has the pins 0 to {last}")));
        }
        let requested = requested(path, options).map_err(|error| {
            let user = chip.line_info(offset).ok().filter(|line| line.used);
            Trouble(match user {
                Some(line) if line.consumer.is_empty() => {
                    format!("{name} is in use by another program")
                }
                Some(line) => format!("{name} is in use by '{}'", line.consumer),
                None => format!("cannot use {name}: {error}"),
            })
        })?;
        // What has taken its place is unsafe, for types that do not keep their descriptor open; this one does.
        #[expect(deprecated)]
        let request = AsyncFd::with_interest(requested, Interest::READABLE)
            .map_err(|error| Trouble(format!("cannot wait for {name}: {error}")))?;
        Ok(ChipLine { name, offset, request })
    }

    fn lost(&self, error: impl Display) -> Trouble {
        Trouble(format!("{} cannot be read any more: {error}", self.name))
    }
}

fn requested(chip: PathBuf, options: &Options) -> gpiocdev::Result<Request> {
    let mut builder = Request::builder();
    builder.on_chip(chip).with_consumer(CONSUMER).with_line(options.pin).as_input();
    if options.active_low {
        builder.as_active_low();
    }
    match options.bias {
        // As it is: not every chip can be told to do nothing.
        Bias::None => {}
        Bias::PullUp => drop(builder.with_bias(LineBias::PullUp)),
        Bias::PullDown => drop(builder.with_bias(LineBias::PullDown)),
    }
    if options.edges {
        builder.with_edge_detection(EdgeDetection::BothEdges);
        // The kernel needs interrupts for it too, which not every chip has.
        builder.with_debounce_period(options.debounce());
    }
    builder.request()
}

/// The chip of this name, file or label, or the first one.
fn find(wanted: Option<&str>) -> Result<Chip, Trouble> {
    let paths = gpiocdev::chip::chips().unwrap_or_default();
    let Some(wanted) = wanted else {
        let first = paths
            .first()
            .ok_or_else(|| Trouble(format!("there is no GPIO chip (/dev/gpiochip*){NONE}")))?;
        return open(first);
    };
    // A symbolic link, such as udev makes, is one too.
    if let Ok(path) = gpiocdev::chip::is_chip(Path::new("/dev").join(wanted)) {
        return open(&path);
    }
    let mut known = Vec::new();
    for chip in paths.iter().filter_map(|path| open(path).ok()) {
        let Ok(info) = chip.info() else { continue };
        if info.label == wanted {
            return Ok(chip);
        }
        known.push(format!("{} ({})", info.name, info.label));
    }
    let known = if known.is_empty() { format!("none{NONE}") } else { known.join(", ") };
    Err(Trouble(format!("there is no GPIO chip '{wanted}'; chips here: {known}")))
}

fn open(path: &Path) -> Result<Chip, Trouble> {
    let path_shown = path.display();
    Chip::from_path(path).map_err(|error| match error {
        Error::Os(errno) if errno.0 == NOT_ALLOWED => Trouble(format!(
            "not allowed to open {path_shown}: is the user of the Node in the group gpio?"
        )),
        error => Trouble(format!("cannot open {path_shown}: {error}")),
    })
}

impl Line for ChipLine {
    fn name(&self) -> &str {
        &self.name
    }

    fn is_active(&self) -> Result<bool, Trouble> {
        let value = self.request.get_ref().value(self.offset);
        value.map(|value| value == Value::Active).map_err(|error| self.lost(error))
    }

    async fn edge(&mut self) -> Result<bool, Trouble> {
        loop {
            let mut ready = self.request.readable().await.map_err(|error| self.lost(error))?;
            let request = self.request.get_ref();
            // A chip that has gone is ready too, and says so when it is read.
            if request.has_edge_event().map_err(|error| self.lost(error))? {
                let event = request.read_edge_event().map_err(|error| self.lost(error))?;
                return Ok(event.kind == EdgeKind::Rising);
            }
            ready.clear_ready();
            self.is_active()?;
        }
    }
}
