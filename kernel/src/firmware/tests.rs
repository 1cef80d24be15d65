//! Messages as the firmware would answer them.
#![forbid(unsafe_code)]

use super::*;

/// The message with these answers in place, each with its size in words.
fn answered(message: Option<Message>, answers: &[(u32, &[u32])]) -> Message {
    let Message(mut words) = message.expect("it is short");
    words[1] = DONE;
    let mut at = 2;
    while words[at] != 0 {
        let size = words[at + 1] as usize / 4;
        if let Some((_, answer)) = answers.iter().find(|(tag, _)| *tag == words[at]) {
            words[at + 2] = ANSWERED | (4 * answer.len() as u32);
            words[at + 3..at + 3 + answer.len()].copy_from_slice(answer);
        }
        at += 3 + size;
    }
    Message(words)
}

#[test]
fn a_message_is_laid_out_as_the_firmware_documents_it() {
    let Message(words) = Message::of(&[(tag::SET_CLOCK_RATE, &[3, 600, 0]), (tag::PITCH, &[0])]).unwrap();
    let expected = [52, 0, 0x38002, 12, 0, 3, 600, 0, 0x40008, 4, 0, 0, 0];
    assert_eq!(words[..13], expected);
    assert!(words[13..].iter().all(|word| *word == 0));
}

#[test]
fn a_message_that_does_not_fit_is_none() {
    let value = [0; WORDS - 6];
    assert!(Message::of(&[(1, &value)]).is_some());
    assert_eq!(Message::of(&[(1, &[0; WORDS - 5])]), None);
    assert_eq!(Message::of(&[(1, &value), (2, &[0])]), None);
    assert!(Message::frame_buffer(1280, 720, 4096).is_some() && Message::state().is_some());
}

#[test]
fn the_machines_state_is_read_and_what_the_firmware_does_not_know_is_unknown() {
    let whole = answered(
        Message::state(),
        &[
            (tag::TEMPERATURE, &[0, 48_312]),
            (tag::THROTTLED, &[0x50005]),
            (tag::CLOCK_MEASURED, &[3, 1_500_345_728]),
        ],
    );
    let expected = MachineState {
        temperature: Some(48_312),
        throttled: Some(0x50005),
        clock: Some(1_500_345_728),
        asked: Tick(7),
    };
    assert_eq!(whole.machine_state(Tick(7)), expected);
    assert_eq!(MachineState::from_values(expected.to_values()), expected);
    // An emulator answers what it does not know with nothing.
    let part = answered(Message::state(), &[(tag::TEMPERATURE, &[0, 25_000]), (tag::THROTTLED, &[])]);
    let known = MachineState { temperature: Some(25_000), asked: Tick(1), ..MachineState::default() };
    assert_eq!(part.machine_state(Tick(1)), known);
    assert_eq!(MachineState::from_values(known.to_values()), known);
}

#[test]
fn nothing_is_read_of_a_message_that_was_not_understood_or_is_malformed() {
    let mut message =
        answered(Message::clock(tag::CLOCK_RATE, clock::UART), &[(tag::CLOCK_RATE, &[2, 48_000_000])]);
    assert_eq!(message.rate(tag::CLOCK_RATE), Some(48_000_000));
    assert_eq!(message.rate(tag::MAX_CLOCK_RATE), None);
    for size in [u32::MAX, 4 * WORDS as u32, 0] {
        let mut malformed = message;
        malformed.0[3] = size;
        assert_eq!(malformed.rate(tag::CLOCK_RATE), None, "size {size}");
    }
    message.0[1] = 0x8000_0001;
    assert_eq!(message.rate(tag::CLOCK_RATE), None);
    let unknown = answered(Message::clock(tag::CLOCK_RATE, 99), &[(tag::CLOCK_RATE, &[99, 0])]);
    assert_eq!(unknown.rate(tag::CLOCK_RATE), None);
}

#[test]
fn a_frame_buffer_is_taken_as_answered_and_refused_if_its_rows_do_not_fit() {
    let answers = |pitch: &'static [u32]| -> Message {
        answered(
            Message::frame_buffer(1280, 720, 4096),
            &[
                (tag::BUFFER_SIZE, &[1024, 600]),
                (tag::DEPTH, &[32]),
                (tag::PIXEL_ORDER, &[1]),
                (tag::ALLOCATE, &[0xfe40_0000, 4160 * 600]),
                (tag::PITCH, pitch),
            ],
        )
    };
    let expected = FrameBuffer {
        address: 0x3e40_0000,
        size: 4160 * 600,
        width: 1024,
        height: 600,
        pitch: 4160,
        red_first: true,
    };
    assert_eq!(answers(&[4160]).buffer(), Some(expected));
    assert_eq!(answers(&[4161]).buffer(), None);
    assert_eq!(answers(&[4092]).buffer(), None);
    assert_eq!(answers(&[]).buffer(), None);
}
