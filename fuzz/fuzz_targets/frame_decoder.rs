//! The frames of a session, in pieces of any size: whatever comes, they are read or refused, and a
//! Message that is read can be looked at in every way.
#![no_main]

use kozo::wire::{Decoder, Frame, WireError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (piece, bytes) = input;
    let mut decoder = Decoder::default();
    for piece in bytes.chunks(usize::from(piece) + 1) {
        decoder.feed(piece);
        if drain(&mut decoder).is_err() {
            return;
        }
    }
});

fn drain(decoder: &mut Decoder) -> Result<(), WireError> {
    while let Some(frame) = decoder.next_frame()? {
        let Frame::Messages(messages) = frame else { continue };
        for message in messages {
            let message = message?;
            assert!(!message.role().is_empty() && !message.message_type().is_empty());
            let _ = (message.to_string(), message.sequence(), message.timestamp(), message.value());
        }
    }
    Ok(())
}
