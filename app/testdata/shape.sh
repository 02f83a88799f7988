# What a command of the runners' common shapes does: for each run an argument, in it a
# word for each attempt; the last of each holds for all that follow.
run=$TASKTRAIL_RUN
[ "$run" -le $# ] || run=$#
eval "plan=\${$run}"
set -- $plan
attempt=$TASKTRAIL_ATTEMPT
[ "$attempt" -le $# ] || attempt=$#
eval "word=\${$attempt}"
case $word in
ok) exit 0 ;;
permanent) exit 127 ;;
hang) exec sleep 600 ;;
*) exit 1 ;;
esac
