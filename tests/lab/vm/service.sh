# The service on a kernel of its own: it starts with its whole sandbox, and is there again after a boot. What is
# done are scenarios of ../service.sh.

. ../nodes.sh
. ../service.sh
prepare
echo "measured: boot: $(boot_time one)"
scenario_start_returns_when_the_node_is_ready
scenario_the_status_line_is_kept
scenario_the_private_key_is_a_credential
scenario_the_sandbox_is_tight_and_the_node_works_in_it
scenario_a_node_that_hangs_is_restarted
scenario_the_target_has_all_enabled_nodes_also_at_boot
