//! The tests of the whole house: one binary, so that it is linked once.

mod arrows;
