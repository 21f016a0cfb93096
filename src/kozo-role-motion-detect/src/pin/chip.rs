//! A line of a GPIO chip, by its character device (`/dev/gpiochipN`, version 2 of the kernel's interface, Linux 5.10).

use std::fmt::Display;
use std::path::Path;

use gpiocdev::line::{Bias as LineBias, EdgeDetection, EdgeKind, Value};
use gpiocdev::{Chip, Error, Request};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::not_allowed;
use crate::options::{Bias, Options};
use crate::watch::{Line, Trouble};

/// Whom the kernel says a line is used by.
const CONSUMER: &str = "kozo motion-detect";

/// The kernel's numbers (errno(3)) for what a user may not, and what a service may not: EACCES, EPERM.
const NOT_ALLOWED: [i32; 2] = [13, 1];

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
        let offset = options.pin;
        let unread = |error| Trouble(format!("cannot read {}: {error}", chip.path().display()));
        let info = chip.info().map_err(unread)?;
        let shown = match info.label.as_str() {
            "" => info.name,
            label => format!("{} ({label})", info.name),
        };
        let name = format!("pin {offset} of {shown}");
        if offset >= info.num_lines {
            let last = info.num_lines.saturating_sub(1);
            return Err(Trouble(format!("there is no {name}: it has the pins 0 to {last}")));
        }
        let requested = requested(chip.path(), options).map_err(|error| {
            in_use(&chip, offset, &name).unwrap_or_else(|| cannot(&chip, &name, &error, options))
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

/// Who uses a line of the chip, if somebody does.
fn in_use(chip: &Chip, offset: u32, name: &str) -> Option<Trouble> {
    let line = chip.line_info(offset).ok().filter(|line| line.used)?;
    let user = match line.consumer.as_str() {
        "" => "another program".to_owned(),
        consumer => format!("'{consumer}'"),
    };
    Some(Trouble(format!("{name} is in use by {user}")))
}

/// Who uses a line of the first chip that has one of these labels, if somebody does.
pub(super) fn user_of(labels: &[&str], offset: u32, name: &str) -> Option<Trouble> {
    let chips = gpiocdev::chip::chips().unwrap_or_default().into_iter();
    let mut chips = chips.filter_map(|path| Chip::from_path(path).ok());
    let has_label = |chip: &Chip| chip.info().is_ok_and(|info| labels.contains(&&*info.label));
    in_use(&chips.find(has_label)?, offset, name)
}

/// Why a line that nobody uses cannot be had.
fn cannot(chip: &Chip, name: &str, error: &Error, options: &Options) -> Trouble {
    let mut without = options.clone();
    without.edges = false;
    if options.edges && requested(chip.path(), &without).is_ok() {
        return Trouble(format!("the chip of {name} cannot tell changes: set `edges: false`"));
    }
    Trouble(format!("cannot use {name}: {error}"))
}

fn requested(chip: &Path, options: &Options) -> gpiocdev::Result<Request> {
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
    let (mut known, mut refused) = (Vec::new(), None);
    for path in &paths {
        match open(path) {
            Ok(chip) => {
                let Ok(info) = chip.info() else { continue };
                if info.label == wanted {
                    return Ok(chip);
                }
                known.push(format!("{} ({})", info.name, info.label));
            }
            Err(trouble) => refused = Some(trouble),
        }
    }
    if let (true, Some(trouble)) = (known.is_empty(), refused) {
        return Err(trouble);
    }
    let known = if known.is_empty() { format!("none{NONE}") } else { known.join(", ") };
    Err(Trouble(format!("there is no GPIO chip '{wanted}'; chips here: {known}")))
}

fn open(path: &Path) -> Result<Chip, Trouble> {
    Chip::from_path(path).map_err(|error| match error {
        Error::Os(errno) if NOT_ALLOWED.contains(&errno.0) => not_allowed(path.display()),
        error => Trouble(format!("cannot open {}: {error}", path.display())),
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
