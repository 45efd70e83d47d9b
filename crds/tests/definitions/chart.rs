//! The chart ships what the types say.

use std::path::Path;

use kube::ResourceExt;

#[test]
fn chart_ships_the_definitions_of_today() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/plenum/crds");
    for definition in plenum_crds::all() {
        let file = folder.join(format!("{}.yaml", definition.name_any()));
        let shipped =
            std::fs::read_to_string(&file).expect("the chart has a file for each definition");
        let today = serde_norway::to_string(&definition).expect("definitions are serialisable");
        assert!(
            shipped == today,
            "{} is out of date: cargo run --release -p plenum-crds -- --dir charts/plenum/crds",
            file.display()
        );
    }
}
