//! Names, and what is written into a project that has just what the command looks at.

use super::*;

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

#[test]
fn a_name_has_its_forms() {
    let name = Name::new("my-policy-b2").unwrap();
    assert_eq!((&*name.module, &*name.kind, &*name.short()), ("my_policy_b2", "MyPolicyB2", "my-policy"));
    assert_eq!(Name::new("longest-short").unwrap().short(), "longest-s");
}

#[test]
fn a_name_with_the_templates_in_it_is_as_good_as_any() {
    let name = Name::new("my-template").unwrap();
    let text = "use template::policy; // `template`\nstruct Template;";
    assert_eq!(name.applied(text), "use my_template::policy; // `my-template`\nstruct MyTemplate;");
}

#[test]
fn what_cannot_be_a_name_is_refused_with_what_can() {
    for wrong in [
        "",
        "-",
        "a--b",
        "My",
        "a_b",
        "2nd",
        "a-2",
        "ä",
        "a/b",
        "..",
        "a very long one indeed",
        &"x".repeat(25),
    ] {
        let said = Name::new(wrong).unwrap_err().0;
        assert!(said.contains(&format!("{wrong:?}")) && said.contains("my-policy"), "{said}");
    }
    assert!(Name::new("match").unwrap_err().0.contains("Rust's own"));
}

#[test]
fn names_of_policies_crates_and_programs_are_taken() {
    for (taken, by) in
        [("template", "policies/template"), ("serde", "a crate"), ("stride", "apps/src/bin/stride.rs")]
    {
        let said = plan(Path::new(ROOT), &Name::new(taken).unwrap()).unwrap_err().0;
        assert!(said.contains(by), "{said}");
    }
}

/// The project's own files, as the command leaves them.
#[test]
fn the_crate_is_the_template_under_another_name_and_has_a_row_in_every_table() {
    let files = plan(Path::new(ROOT), &Name::new("my-own").unwrap()).unwrap();
    let of = |path: &str| {
        let file = Path::new(ROOT).join(path);
        &files.iter().find(|(name, _)| *name == file).unwrap_or_else(|| panic!("{path}")).1
    };
    assert!(files.iter().take(FILES.len()).all(|(_, text)| !text.to_lowercase().contains("template")));
    assert!(of("policies/my-own/src/lib.rs").contains("impl Rule for MyOwn {"));
    assert!(of("policies/my-own/src/main.rs").contains("apps::scheduler::run(&info, my_own::policy);"));
    assert!(of("policies/my-own/Cargo.toml").contains("name = \"my-own\""));
    let table = of(TABLE);
    assert!(
        table.contains(
            "Nothing;\n    /// `policies/my-own`.\n    MyOwn, \"my-own\", \"my-own\", Nothing;\n}\n"
        ),
        "{table}"
    );
    let simulator = of(SIMULATOR);
    let row = "            scenario::Policy::MyOwn => plain(my_own::policy(core)),\n            scenario::Policy::None";
    assert!(simulator.contains(row), "{simulator}");
    assert!(of(MANIFEST).contains("my-own = { path = \"../policies/my-own\" }\ntranche-abi.workspace"));
}

#[test]
fn files_that_are_not_as_expected_are_left_alone() {
    let said = after_the_last_row("pub enum Policy {}", "row").unwrap_err().0;
    assert!(
        said.contains("libos-core/src/scenario/policy.rs") && said.contains("nothing was changed"),
        "{said}"
    );
    assert!(before("x.rs", "a\nb\n", "c", "row").is_err());
    assert_eq!(before("x.rs", "a\nb\n", "b", "row\n").unwrap(), "a\nrow\nb\n");
}
