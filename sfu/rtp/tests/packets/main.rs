//! What holds for whatever arrives. One program: linking is what many small ones cost.

mod malformed;
mod number_maps;
