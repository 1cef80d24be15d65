//! A workload: a control loop. A PID controller in fixed point drives a simulated plant; every step's state is compared
//! with a reference trajectory that the compiler computed.
//!
//! As a periodic program, each job is steps of control until the declared CPU time is used.
#![forbid(unsafe_code)]

use crate::work;
use libos_core::start::StartInfo;

/// Steps after which the plant and its set point start afresh.
const STEPS: usize = 256;
/// The binary point: 16 bits of fraction.
const ONE: i64 = 1 << 16;

/// Plant and controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    position: i64,
    speed: i64,
    integral: i64,
    last_error: i64,
}

const fn multiply(a: i64, b: i64) -> i64 {
    (a * b) >> 16
}

impl State {
    const REST: Self = Self { position: 0, speed: 0, integral: 0, last_error: 0 };

    /// One period: the controller sees the position, the plant (a damped mass on which it pulls) feels the force.
    const fn step(self, set_point: i64) -> Self {
        let error = set_point - self.position;
        let integral = self.integral + error / 64;
        let slope = error - self.last_error;
        let force = multiply(2 * ONE, error) + multiply(ONE / 4, integral) + multiply(12 * ONE, slope);
        let speed = self.speed + (force - multiply(ONE / 2, self.speed)) / 32;
        let position = self.position + speed / 8;
        Self { position, speed, integral, last_error: error }
    }
}

/// Up for the first half, back for the second.
const fn set_point(step: usize) -> i64 {
    if step < STEPS / 2 { 10 * ONE } else { 0 }
}

/// The trajectory: what each step must lead to.
const REFERENCE: [State; STEPS] = {
    let mut trajectory = [State::REST; STEPS];
    let mut state = State::REST;
    let mut step = 0;
    while step < STEPS {
        state = state.step(set_point(step));
        trajectory[step] = state;
        step += 1;
    }
    trajectory
};

/// The loop: where it is.
struct Control {
    state: State,
    step: usize,
}

impl Control {
    const fn new() -> Self {
        Self { state: State::REST, step: 0 }
    }

    /// One period; whether the state is the reference's.
    fn step(&mut self) -> bool {
        // The compiler must not know where we are, or it would compute the trajectory once more.
        let (state, step) = core::hint::black_box((self.state, self.step));
        self.state = state.step(set_point(step));
        let right = self.state == REFERENCE[step];
        self.step = (step + 1) % STEPS;
        if self.step == 0 || !right {
            *self = Self::new();
        }
        right
    }
}

/// Works as its start page says. A unit is one step.
pub fn main(info: StartInfo) {
    let mut control = Control::new();
    work::run(&info, move || control.step());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plant_reaches_its_set_point_and_comes_back() {
        let close = |step: usize, to: i64| (REFERENCE[step].position - to).abs() < ONE / 2;
        assert!(close(STEPS / 2 - 1, 10 * ONE), "{}", REFERENCE[STEPS / 2 - 1].position);
        assert!(close(STEPS - 1, 0), "{}", REFERENCE[STEPS - 1].position);
    }

    #[test]
    fn every_step_is_checked_and_a_disturbed_state_is_noticed_once() {
        let mut control = Control::new();
        assert!((0..3 * STEPS).all(|_| control.step()));
        control.step();
        control.state.integral += 1;
        assert!(!control.step());
        assert!((0..STEPS).all(|_| control.step()));
    }
}
