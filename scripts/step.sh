# To be sourced. `step "what is brought" command ...` says what, and how long it took; what the command says is shown
# only if it fails.
step() {
    printf '%s ... ' "$1" >&2
    shift
    step_began=$(date +%s)
    step_log=$(mktemp)
    if "$@" >"$step_log" 2>&1 </dev/null; then
        echo "$(($(date +%s) - step_began)) s" >&2
        rm -f "$step_log"
    else
        step_status=$?
        { echo "failed:"; cat "$step_log"; } >&2
        rm -f "$step_log"
        return $step_status
    fi
}
