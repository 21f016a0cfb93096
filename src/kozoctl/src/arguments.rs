//! Arguments of the command line that have a form of their own, and what the configuration calls them.

/// A Role as the command line names it: `NAME`, or `NAME=TYPE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RoleArgument {
    /// Its name.
    pub(crate) name: String,
    /// Its type.
    pub(crate) role_type: String,
}

impl std::str::FromStr for RoleArgument {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, role_type) = text.split_once('=').unwrap_or((text, text));
        if name.trim().is_empty() || role_type.trim().is_empty() {
            return Err("expected NAME or NAME=TYPE, such as timer1=timer".to_owned());
        }
        Ok(RoleArgument { name: name.trim().to_owned(), role_type: role_type.trim().to_owned() })
    }
}

/// An option of a Role as the command line sets it: `ROLE.OPTION=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// The name of the Role.
    pub(crate) role: String,
    /// The name of the option.
    pub(crate) option: String,
    /// Its value.
    pub(crate) value: String,
}

impl std::str::FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').and_then(|(path, value)| {
            // Names of options have no dots in them, those of Roles may.
            let (role, option) = path.rsplit_once('.')?;
            let whole = !role.is_empty() && !option.is_empty();
            whole.then(|| (role.to_owned(), option.to_owned(), value.to_owned()))
        });
        let (role, option, value) =
            parts.ok_or_else(|| "expected ROLE.OPTION=VALUE, such as timer1.tick=5s".to_owned())?;
        Ok(Setting { role, option, value })
    }
}

/// An option as the command line sets it: `OPTION=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OptionSetting {
    /// The name of the option.
    pub(crate) option: String,
    /// Its value.
    pub(crate) value: String,
}

impl std::str::FromStr for OptionSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('=').filter(|(option, _)| !option.is_empty());
        let (option, value) =
            parts.ok_or_else(|| "expected OPTION=VALUE, such as pin=7".to_owned())?;
        Ok(OptionSetting { option: option.to_owned(), value: value.to_owned() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let role = |text: &str| text.parse::<RoleArgument>().map(|it| (it.name, it.role_type));
        assert_eq!(role("logger"), Ok(("logger".to_owned(), "logger".to_owned())));
        assert_eq!(role("timer1=timer"), Ok(("timer1".to_owned(), "timer".to_owned())));
        assert!(role("=timer").is_err() && role("timer1=").is_err() && role("").is_err());
        let set: Setting = "my.role.message=a = b".parse().unwrap();
        assert_eq!((&*set.role, &*set.option, &*set.value), ("my.role", "message", "a = b"));
        assert!("tick=5".parse::<Setting>().is_err() && "timer1.tick".parse::<Setting>().is_err());
    }
}
