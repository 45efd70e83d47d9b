//! The meeting page is embedded if it was built before; the server builds without it, too.

fn main() {
    println!("cargo::rerun-if-changed=../../web/dist");
}
