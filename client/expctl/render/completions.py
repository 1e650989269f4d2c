"""Completions for bash, zsh and fish, made of the table of verbs; ids and names are asked of the daemon as they are typed.

`EXPD_AUTOSTART=0`: completing a word starts no daemon.
"""

from expctl.arguments import Option, Positional, Verb
from expctl.options import SHARED, VERBS

SHELLS = ("bash", "zsh", "fish")
ENTRIES = "EXPD_AUTOSTART=0 expctl status 2>/dev/null | cut -f 1,2 | tr '\\t' '\\n'"
"""Ids and names of the queue, a word a line."""
_FILES = frozenset({"PATH", "FILE", "DIR"})
_ENTRY = "ID"


def completion(shell: str) -> str:
    """Give the script for one of SHELLS."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]()


def _options(verb: Verb) -> list[Option]:
    return [*verb.options, *SHARED]


def _kind(argument: Option | Positional) -> str:
    """Tell what completes a value: files, entries, words, or nothing that is known."""
    if argument.metavar in _FILES:
        return "files"
    if argument.metavar == _ENTRY:
        return "entries"
    return "words" if isinstance(argument, Positional) and argument.choices else ""


# --- bash


def _bash() -> str:
    return f"""\
# bash completion for expctl
_expctl_entries() {{ {ENTRIES}; }}

_expctl() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}} verb= word i
    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${{COMP_WORDS[i]}}
        [[ $word == -- ]] && {{ COMPREPLY=($(compgen -f -- "$cur")); return; }}
        [[ -z $verb && $word != -* ]] && verb=$word
    done
    if [[ -z $verb ]]; then
        COMPREPLY=($(compgen -W "{" ".join(VERBS)} --help --version" -- "$cur"))
        return
    fi
    case "$verb:$prev" in
{"".join(_bash_values(name, verb) for name, verb in VERBS.items())}    esac
    if [[ $cur == -* ]]; then
        case "$verb" in
{"".join(_bash_flags(name, verb) for name, verb in VERBS.items())}        esac
        return
    fi
    case "$verb" in
{"".join(_bash_positionals(name, verb) for name, verb in VERBS.items())}        *) COMPREPLY=($(compgen -f -- "$cur")) ;;
    esac
}}
complete -o filenames -F _expctl expctl
"""


def _bash_values(name: str, verb: Verb) -> str:
    """Give what follows an option with a value."""
    lines = ""
    for option in _options(verb):
        if option.metavar is not None:
            pattern = "|".join(f"{name}:{flag}" for flag in option.flags)
            lines += f"        {pattern}) {_bash_words(option)}return ;;\n"
    return lines


def _bash_words(argument: Option | Positional) -> str:
    match _kind(argument):
        case "files":
            return 'COMPREPLY=($(compgen -f -- "$cur")); '
        case "entries":
            return 'COMPREPLY=($(compgen -W "$(_expctl_entries)" -- "$cur")); '
        case "words":
            assert isinstance(argument, Positional)
            return f'COMPREPLY=($(compgen -W "{" ".join(argument.choices or ())}" -- "$cur")); '
        case _:
            return ""


def _bash_flags(name: str, verb: Verb) -> str:
    flags = " ".join(flag for option in _options(verb) for flag in option.flags)
    return f'            {name}) COMPREPLY=($(compgen -W "{flags}" -- "$cur")) ;;\n'


def _bash_positionals(name: str, verb: Verb) -> str:
    words = next((found for found in map(_bash_words, verb.positionals) if found), "")
    return f"        {name}) {words}return ;;\n" if verb.positionals else f"        {name}) return ;;\n"


# --- zsh


def _zsh() -> str:
    return f"""\
#compdef expctl
# zsh completion for expctl
_expctl_entries() {{
    local -a entries
    entries=(${{(f)"$({ENTRIES})"}})
    compadd -a entries
}}

_expctl() {{
    local -a verbs
    verbs=(
{"".join(_zsh_summary(name, verb) for name, verb in VERBS.items())}    )
    integer place=2
    while (( place < CURRENT )) && [[ $words[place] == -* ]]; do (( place++ )); done
    if (( place == CURRENT )); then
        _describe command verbs
        return
    fi
    if (( ${{words[(I)--]}} && ${{words[(i)--]}} < CURRENT )); then
        _files
        return
    fi
    local verb=$words[place]
    shift $(( place - 1 )) words
    (( CURRENT -= place - 1 ))
    case $verb in
{"".join(_zsh_verb(name, verb) for name, verb in VERBS.items())}    esac
}}

_expctl "$@"
"""


def _zsh_summary(name: str, verb: Verb) -> str:
    return f"        {_zsh_quoted(f'{name}:{verb.summary}')}\n"


def _zsh_verb(name: str, verb: Verb) -> str:
    specs = [_zsh_option(option, flag) for option in _options(verb) for flag in option.flags]
    specs += [_zsh_positional(positional) for positional in verb.positionals]
    return (
        f"        {name})\n            _arguments \\\n"
        + " \\\n".join(f"                {spec}" for spec in specs)
        + " ;;\n"
    )


def _zsh_option(option: Option, flag: str) -> str:
    text = option.help.replace("[", "\\[").replace("]", "\\]")
    value = "" if option.metavar is None else f":{_zsh_plain(option.metavar)}:{_zsh_action(option)}"
    return _zsh_quoted(f"{'*' if option.is_list else ''}{flag}[{text}]{value}")


def _zsh_positional(positional: Positional) -> str:
    place = "*" if positional.count in {"*", "+"} else ":" if positional.count == "?" else ""
    title = _zsh_plain(positional.metavar or positional.name)
    return _zsh_quoted(f"{place}:{title}:{_zsh_action(positional)}")


def _zsh_action(argument: Option | Positional) -> str:
    match _kind(argument):
        case "files":
            return "_files"
        case "entries":
            return "_expctl_entries"
        case "words":
            assert isinstance(argument, Positional)
            return f"({' '.join(argument.choices or ())})"
        case _:
            return " "


def _zsh_plain(text: str) -> str:
    return text.replace(":", " ").replace("[", "").replace("]", "")


def _zsh_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# --- fish


_FISH_FUNCTIONS = f"""\
# fish completion for expctl
function __expctl_entries; {ENTRIES}; end

# is there a verb already, or is it this one?
function __expctl_verb
    for word in (commandline -opc)[2..-1]
        if not string match -q -- '-*' $word
            test (count $argv) -eq 0; or test $word = $argv[1]
            return
        end
    end
    return 1
end

# what follows -- is a command
function __expctl_is_command
    contains -- -- (commandline -opc)
end
"""


def _fish() -> str:
    lines = [_FISH_FUNCTIONS, "complete -c expctl -f", "complete -c expctl -n __expctl_is_command -F"]
    for name, verb in VERBS.items():
        lines.append(f"complete -c expctl -n 'not __expctl_verb' -a {name} -d {_fish_quoted(verb.summary)}")
    for name, verb in VERBS.items():
        seen = f"complete -c expctl -n '__expctl_verb {name}; and not __expctl_is_command'"
        lines += [f"{seen}{_fish_flags(option)}{_fish_value(option)}" for option in _options(verb)]
        lines += [f"{seen} {words}" for positional in verb.positionals if (words := _fish_words(positional))]
    return "\n".join(lines) + "\n"


def _fish_flags(option: Option) -> str:
    return "".join(f" -l {flag[2:]}" if flag.startswith("--") else f" -s {flag[1:]}" for flag in option.flags)


def _fish_value(option: Option) -> str:
    told = f" -d {_fish_quoted(option.help)}"
    if option.metavar is None:
        return told
    return f" -r {_fish_words(option)}{told}" if _kind(option) else f" -x{told}"


def _fish_words(argument: Option | Positional) -> str:
    match _kind(argument):
        case "files":
            return "-F"
        case "entries":
            return "-a '(__expctl_entries)'"
        case "words":
            assert isinstance(argument, Positional)
            return f"-a '{' '.join(argument.choices or ())}'"
        case _:
            return ""


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
