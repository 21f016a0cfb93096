//! D-Bus takes the names that Nodes, Roles and Peers have on it.

use kozo_core::names::{bus_name, node_of_bus_name, role_path};
use proptest::prelude::*;
use zbus::ObjectPath;
use zbus::names::WellKnownName;

proptest! {
    #[test]
    fn every_name_has_one_of_its_own(node in "[-_.a-f0-9zé/]{1,20}") {
        let name = bus_name(&node);
        prop_assert!(WellKnownName::try_from(&*name).is_ok(), "{}", name);
        prop_assert_eq!(node_of_bus_name(&name), Some(node.clone()));
        let path = role_path(&node);
        prop_assert!(ObjectPath::try_from(&*path).is_ok(), "{}", path);
    }
}
