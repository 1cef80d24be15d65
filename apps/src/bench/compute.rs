//! Raw computation: the product of two 150×150 matrices of integers. What is measured is the whole machine meanwhile, slice
//! switches included.
//!
//! Not here: the multiplication, which is the same source for Linux (`linux/`).

use super::counter;
use super::{Bench, Path, settle, sleep};
use alloc::boxed::Box;
use alloc::string::String;
use libos_core::page;
use libos_core::public::{Position, view};

#[path = "../../../linux/src/matmul.rs"]
pub mod matmul;

use matmul::{Matrix, N};

/// Measures one product.
pub fn measure(bench: &mut Bench) -> Result<(), String> {
    let (mut left, mut right, mut product) = (zero()?, zero()?, zero()?);
    matmul::fill(&mut left, &mut right);
    begin_revolution();
    let begin = counter::before();
    matmul::multiply(&left, &right, &mut product);
    let cost = counter::after().since(begin).without(bench.overhead);
    match (matmul::sum(&product), matmul::known_sum(&left, &right)) {
        (sum, known) if sum == known => bench.record("matmul", &[cost], Path::Interrupted),
        (sum, known) => Err(alloc::format!("the product's sum is {sum}, not {known}")),
    }
}

/// Waits for the first of our slots: all others follow without a slot of somebody else's between.
fn begin_revolution() {
    let is_first = |position: Position| position.slot.0 <= 1;
    while !view().position(page::now()).is_some_and(is_first) {
        sleep(view().quantum());
    }
    settle();
}

/// A matrix of zeros.
fn zero() -> Result<Box<Matrix>, String> {
    alloc::vec![0; N * N].into_boxed_slice().try_into().map_err(|_| "a matrix of another size".into())
}
