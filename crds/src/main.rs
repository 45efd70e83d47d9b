//! `plenum-crds` prints the definitions of all resources as YAML; `plenum-crds --dir DIR` writes one file for each.
#![forbid(unsafe_code)]

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;

use kube::ResourceExt;

const USAGE: &str = "usage: plenum-crds [--dir DIR]";

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let directory = match arguments.next() {
        None => None,
        Some(flag) if flag == "--dir" => Some(PathBuf::from(arguments.next().ok_or(USAGE)?)),
        Some(_) => return Err(USAGE.into()),
    };
    if arguments.next().is_some() {
        return Err(USAGE.into());
    }
    for definition in plenum_crds::all() {
        let yaml = serde_norway::to_string(&definition)?;
        match &directory {
            None => write!(std::io::stdout(), "---\n{yaml}")?,
            Some(directory) => {
                std::fs::create_dir_all(directory)?;
                std::fs::write(
                    directory.join(format!("{}.yaml", definition.name_any())),
                    yaml,
                )?;
            }
        }
    }
    Ok(())
}
