//! The Service Discovery Protocol, as far as to learn at which RFCOMM channel a device offers a service (Bluetooth Core
//! Specification 5.4, volume 3, part B).
//!
//! BlueZ asks a device for its services only once, before a connection of its own, and answers from what it remembers: of a
//! Node that started since then it knows nothing until the device, with all that was paired, is forgotten. So the device is asked
//! here. What it says is a stranger's: nothing is believed but the number of a channel.

use bluer::Uuid;

/// Kinds of packets.
const ERROR: u8 = 0x01;
const SEARCH_ATTRIBUTE_REQUEST: u8 = 0x06;
const SEARCH_ATTRIBUTE_RESPONSE: u8 = 0x07;

/// The attribute with the protocols of a service, and how they are called.
const PROTOCOLS: u16 = 0x0004;
const RFCOMM: u32 = 0x0003;

/// The last channel that RFCOMM has.
const LAST_CHANNEL: u8 = 30;

/// Bytes of the longest continuation of an answer.
const LONGEST_CONTINUATION: usize = 16;

/// Why an answer means nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// It is cut off, or is another one.
    #[error("its answer about its services makes no sense")]
    Nonsense,
    /// The device refuses.
    #[error("it does not say which services it has (error {0:#06x})")]
    Refused(u16),
}

/// A part of what a device says of its services.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Part<'a> {
    /// The next bytes of the lists of attributes.
    pub(crate) attributes: &'a [u8],
    /// What asks for the next part; empty after the last one.
    pub(crate) continuation: &'a [u8],
}

/// Asks for the protocols of what has this UUID in its record.
pub(crate) fn request(transaction: u16, service: Uuid, continuation: &[u8]) -> Vec<u8> {
    let mut parameters = Vec::with_capacity(64);
    // A sequence of one UUID of 128 bits.
    parameters.extend([0x35, 17, 0x1C]);
    parameters.extend(service.as_bytes());
    // As many bytes as the device likes to send.
    parameters.extend(u16::MAX.to_be_bytes());
    // A sequence of one attribute, a number of 16 bits.
    parameters.extend([0x35, 3, 0x09]);
    parameters.extend(PROTOCOLS.to_be_bytes());
    let continuation = continuation.get(..LONGEST_CONTINUATION).unwrap_or(continuation);
    parameters.extend(u8::try_from(continuation.len()));
    parameters.extend(continuation);
    let mut packet = vec![SEARCH_ATTRIBUTE_REQUEST];
    packet.extend(transaction.to_be_bytes());
    packet.extend(u16::try_from(parameters.len()).unwrap_or(u16::MAX).to_be_bytes());
    packet.extend(parameters);
    packet
}

/// Reads an answer to the request of this number.
pub(crate) fn part(packet: &[u8], transaction: u16) -> Result<Part<'_>, Malformed> {
    let mut rest = Bytes(packet);
    let kind = rest.number::<1>()?;
    if rest.number::<2>()? != u32::from(transaction) {
        return Err(Malformed::Nonsense);
    }
    let length = rest.number::<2>()?;
    let mut parameters = Bytes(rest.take(length)?);
    match u8::try_from(kind) {
        Ok(SEARCH_ATTRIBUTE_RESPONSE) => {
            let length = parameters.number::<2>()?;
            let attributes = parameters.take(length)?;
            let length = parameters.number::<1>()?;
            let continuation = parameters.take(length)?;
            match continuation.len() <= LONGEST_CONTINUATION {
                true => Ok(Part { attributes, continuation }),
                false => Err(Malformed::Nonsense),
            }
        }
        Ok(ERROR) => {
            let code = parameters.number::<2>()?;
            Err(Malformed::Refused(u16::try_from(code).unwrap_or_default()))
        }
        _ => Err(Malformed::Nonsense),
    }
}

/// The RFCOMM channel of the first service that has one, of the lists of attributes of all that were found.
pub(crate) fn channel(lists: &[u8]) -> Result<Option<u8>, Malformed> {
    for service in element(lists)?.sequence()? {
        let mut attributes = service?.sequence()?;
        while let Some(id) = attributes.next().transpose()? {
            let value = attributes.next().ok_or(Malformed::Nonsense)??;
            if id.number() == Some(PROTOCOLS.into())
                && let Some(channel) = channel_of(&value)?
            {
                return Ok(Some(channel));
            }
        }
    }
    Ok(None)
}

/// The channel that a stack of protocols, or one of several stacks, names.
fn channel_of(protocols: &Element<'_>) -> Result<Option<u8>, Malformed> {
    let stacks = match protocols {
        Element::Alternative(stacks) => Elements(Bytes(stacks)).collect::<Result<Vec<_>, _>>()?,
        stack => vec![*stack],
    };
    for stack in stacks {
        for protocol in stack.sequence()? {
            let mut words = protocol?.sequence()?;
            let (name, channel) = (words.next().transpose()?, words.next().transpose()?);
            if name.and_then(|name| name.uuid()) == Some(RFCOMM) {
                let channel = channel.and_then(|channel| channel.number());
                let channel = channel.and_then(|channel| u8::try_from(channel).ok());
                return Ok(channel.filter(|channel| (1..=LAST_CHANNEL).contains(channel)));
            }
        }
    }
    Ok(None)
}

/// What attributes consist of.
#[derive(Clone, Copy, Debug)]
enum Element<'a> {
    Number(u32),
    /// One of those of Bluetooth itself, as its number.
    Uuid(u32),
    Sequence(&'a [u8]),
    Alternative(&'a [u8]),
    Other,
}

impl<'a> Element<'a> {
    fn sequence(self) -> Result<Elements<'a>, Malformed> {
        match self {
            Element::Sequence(bytes) => Ok(Elements(Bytes(bytes))),
            _ => Err(Malformed::Nonsense),
        }
    }

    fn number(self) -> Option<u32> {
        match self {
            Element::Number(number) => Some(number),
            _ => None,
        }
    }

    fn uuid(self) -> Option<u32> {
        match self {
            Element::Uuid(uuid) => Some(uuid),
            _ => None,
        }
    }
}

/// The element that these bytes begin with.
fn element(bytes: &[u8]) -> Result<Element<'_>, Malformed> {
    Elements(Bytes(bytes)).next().ok_or(Malformed::Nonsense)?
}

/// Elements one behind the other.
struct Elements<'a>(Bytes<'a>);

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.0.is_empty() {
            return None;
        }
        let element = self.0.element();
        if element.is_err() {
            self.0 = Bytes(&[]);
        }
        Some(element)
    }
}

/// Bytes that are not read yet.
#[derive(Clone, Copy)]
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, length: u32) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(length).map_err(|_| Malformed::Nonsense)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Malformed::Nonsense)?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number of one, two or four bytes.
    fn number<const LENGTH: usize>(&mut self) -> Result<u32, Malformed> {
        let (bytes, rest) = self.0.split_first_chunk::<LENGTH>().ok_or(Malformed::Nonsense)?;
        self.0 = rest;
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    /// The next element: five bits say its type, three its size, or of how many bytes the number is that says it.
    fn element(&mut self) -> Result<Element<'a>, Malformed> {
        const NUMBER: u8 = 1;
        const UUID: u8 = 3;
        const SEQUENCE: u8 = 6;
        const ALTERNATIVE: u8 = 7;
        let head = u8::try_from(self.number::<1>()?).unwrap_or_default();
        let (kind, size) = (head >> 3, head & 7);
        let length = match size {
            0 if kind == 0 => 0,
            0..=4 => 1 << size,
            5 => self.number::<1>()?,
            6 => self.number::<2>()?,
            _ => self.number::<4>()?,
        };
        let bytes = self.take(length)?;
        Ok(match kind {
            NUMBER | UUID => match (short(bytes), kind) {
                (Some(number), NUMBER) => Element::Number(number),
                (Some(number), _) => Element::Uuid(number),
                (None, _) => Element::Other,
            },
            SEQUENCE => Element::Sequence(bytes),
            ALTERNATIVE => Element::Alternative(bytes),
            _ => Element::Other,
        })
    }
}

/// A number of at most four bytes. A UUID of 16 may also be one of Bluetooth itself.
fn short(bytes: &[u8]) -> Option<u32> {
    const BASE: [u8; 12] = [0, 0, 0x10, 0, 0x80, 0, 0, 0x80, 0x5F, 0x9B, 0x34, 0xFB];
    let bytes = match bytes.split_first_chunk::<4>() {
        Some((first, rest)) if *rest == BASE => first.as_slice(),
        _ => bytes,
    };
    (bytes.len() <= 4).then(|| bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SERVICE: Uuid = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);

    /// What bluetoothd 5.66 answers for a profile at channel 22.
    const LISTS: [u8; 21] = [
        0x35, 19, 0x35, 17, 0x09, 0x00, 0x04, 0x35, 12, 0x35, 3, 0x19, 0x01, 0x00, 0x35, 5, 0x19,
        0x00, 0x03, 0x08, 22,
    ];

    fn answer(transaction: u16, attributes: &[u8], continuation: &[u8]) -> Vec<u8> {
        let length = attributes.len() + continuation.len() + 3;
        let mut packet = vec![SEARCH_ATTRIBUTE_RESPONSE];
        packet.extend(transaction.to_be_bytes());
        packet.extend(u16::try_from(length).unwrap().to_be_bytes());
        packet.extend(u16::try_from(attributes.len()).unwrap().to_be_bytes());
        packet.extend(attributes);
        packet.push(u8::try_from(continuation.len()).unwrap());
        packet.extend(continuation);
        packet
    }

    /// A sequence or alternative of elements: its head, up to the last byte of the length, and what is in it.
    fn within(head: &[u8], elements: &[u8]) -> Vec<u8> {
        [head, &[u8::try_from(elements.len()).unwrap()], elements].concat()
    }

    #[test]
    fn a_request_is_these_bytes() {
        let mut wanted = vec![0x06, 0x12, 0x34, 0, 29, 0x35, 17, 0x1C];
        wanted.extend(SERVICE.as_bytes());
        wanted.extend([0xFF, 0xFF, 0x35, 3, 0x09, 0, 4, 2, 7, 8]);
        assert_eq!(request(0x1234, SERVICE, &[7, 8]), wanted);
    }

    #[test]
    fn the_channel_is_found_in_stacks_and_alternatives_of_all_sizes() {
        assert_eq!(channel(&LISTS), Ok(Some(22)));
        assert_eq!(channel(&[0x35, 0]), Ok(None));
        // RFCOMM as a UUID of 16 bytes, and the channel as a number of two.
        let mut long =
            vec![0x1C, 0, 0, 0, 3, 0, 0, 0x10, 0, 0x80, 0, 0, 0x80, 0x5F, 0x9B, 0x34, 0xFB];
        long.extend([0x09, 0, 5]);
        let rfcomm = within(&[0x35], &within(&[0x36, 0], &long));
        let other = within(&[0x35], &within(&[0x35], &[0x19, 1, 0]));
        let stacks = within(&[0x3D], &[other, rfcomm].concat());
        let attributes = within(&[0x37, 0, 0, 0], &[&[0x09, 0, 4], &*stacks].concat());
        assert_eq!(channel(&within(&[0x35], &attributes)), Ok(Some(5)));
    }

    #[test]
    fn no_channel_but_those_that_there_are() {
        for number in [0, 31, 255] {
            let mut lists = LISTS;
            lists[20] = number;
            assert_eq!(channel(&lists), Ok(None));
        }
    }

    #[test]
    fn parts_are_read_and_others_refused() {
        let packet = answer(9, &LISTS, &[1, 2]);
        assert_eq!(part(&packet, 9), Ok(Part { attributes: &LISTS, continuation: &[1, 2] }));
        assert_eq!(part(&packet, 8), Err(Malformed::Nonsense));
        for length in 0..packet.len() {
            assert_eq!(part(&packet[..length], 9), Err(Malformed::Nonsense));
        }
        assert_eq!(part(&answer(9, &LISTS, &[0; 17]), 9), Err(Malformed::Nonsense));
        let refused = [ERROR, 0, 9, 0, 2, 0, 3];
        assert_eq!(part(&refused, 9), Err(Malformed::Refused(3)));
        assert_eq!(part(&[0x03, 0, 9, 0, 0], 9), Err(Malformed::Nonsense));
    }

    #[test]
    fn what_is_cut_off_is_nonsense() {
        for length in 0..LISTS.len() {
            assert_eq!(channel(&LISTS[..length]), Err(Malformed::Nonsense), "{length}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), at in 0..21usize, with: u8) {
            let _ = (part(&bytes, 0), channel(&bytes));
            let mut lists = LISTS;
            lists[at] = with;
            let _ = channel(&lists);
        }
    }
}
