package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"

	"github.com/tasktrail/tasktrail/alerting/rule"
	"github.com/tasktrail/tasktrail/timeline/readmodel"
)

// readOne reads a channel or a rule from a file of YAML or JSON, or from the
// standard input: secrets don't belong into arguments.
func readOne(in io.Reader, path string) (map[string]any, string, error) {
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, "", usageError{err}
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	b, err := io.ReadAll(io.LimitReader(in, rule.MaxRuleBytes))
	if err != nil {
		return nil, "", usageError{err}
	}
	var one map[string]any
	if err := yaml.Unmarshal(b, &one); err != nil {
		return nil, "", usageError{fmt.Errorf("%s: %w", path, err)}
	}
	name, _ := one["name"].(string)
	if name == "" {
		return nil, "", usageError{fmt.Errorf("%s: want one mapping, with a name", path)}
	}
	return one, name, nil
}

// deleteCommand deletes what a path under the API names.
func deleteCommand(use, short, path string) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1)}
	return apiCommand(c, func(ctx context.Context, a *api, args []string) error {
		resp, err := a.request(ctx, http.MethodDelete, path+url.PathEscape(args[0]), nil, nil)
		if err != nil {
			return err
		}
		return resp.Body.Close()
	})
}

func newAlertsChannels() *cobra.Command {
	c := &cobra.Command{Use: "channels", Short: "List, set, test and delete channels", Args: cobra.NoArgs}
	list := &cobra.Command{Use: "list", Short: "List channels and how they do", Args: cobra.NoArgs}
	set := &cobra.Command{Use: "set FILE", Short: "Set a channel from a file of YAML or JSON (- for the standard input)", Args: cobra.ExactArgs(1)}
	rotate := set.Flags().Bool("rotate-secret", false, "make a new secret of a webhook; the one before signs too")
	test := &cobra.Command{Use: "test CHANNEL", Short: "Send a test over a channel", Args: cobra.ExactArgs(1)}
	c.AddCommand(
		apiCommand(list, func(ctx context.Context, a *api, _ []string) error {
			var page struct {
				Data []readmodel.Channel `json:"data"`
			}
			if printed, err := a.call(ctx, "GET", "/channels", nil, nil, &page); printed || err != nil {
				return err
			}
			w := a.table("CHANNEL\tTYPE\tTARGET\tSET BY\tWAITING\tDELIVERED\tFAILED\tDISABLED")
			for _, r := range page.Data {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%d\t%d\t%s\n", r.Name, r.Type, dash(r.Target), setBy(r.Source, r.ChangedBy), r.Waiting, r.Delivered, r.Failed, dash(r.Disabled))
			}
			return w.Flush()
		}),
		apiCommand(set, func(ctx context.Context, a *api, args []string) error {
			one, name, err := readOne(set.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			if *rotate {
				one["rotate_secret"] = true
			}
			var out struct {
				Secret string `json:"secret"`
			}
			if printed, err := a.call(ctx, "PUT", "/channels/"+url.PathEscape(name), nil, one, &out); printed || err != nil {
				return err
			}
			if out.Secret != "" {
				fmt.Fprintln(set.ErrOrStderr(), "this is the only time the secret is shown")
				_, err = fmt.Fprintln(a.out, out.Secret)
			}
			return err
		}),
		apiCommand(test, func(ctx context.Context, a *api, args []string) error {
			var d readmodel.Delivery
			if printed, err := a.call(ctx, "POST", "/channels/"+url.PathEscape(args[0])+"/test", nil, struct{}{}, &d); printed || err != nil {
				return err
			}
			if d.Status != readmodel.DeliveryDelivered {
				return fmt.Errorf("channel %s: %s: %s", args[0], d.Status, d.Error)
			}
			_, err := fmt.Fprintf(a.out, "delivered over %s\n", args[0])
			return err
		}),
		deleteCommand("delete CHANNEL", "Delete a channel that was set over the API", "/channels/"),
	)
	return c
}

func setBy(source readmodel.AlertSource, who string) string {
	if source == readmodel.FromAPI {
		return dash(who)
	}
	return "the configuration"
}

func newAlertsRules() *cobra.Command {
	c := &cobra.Command{Use: "rules", Short: "List, set and delete alert rules", Args: cobra.NoArgs}
	list := &cobra.Command{Use: "list", Short: "List the file's rules and those set over the API", Args: cobra.NoArgs}
	set := &cobra.Command{Use: "set FILE", Short: "Set a rule from a file of YAML or JSON (- for the standard input)", Args: cobra.ExactArgs(1)}
	c.AddCommand(
		apiCommand(list, func(ctx context.Context, a *api, _ []string) error {
			var page struct {
				Data []readmodel.AlertRule `json:"data"`
			}
			if printed, err := a.call(ctx, "GET", "/rules", nil, nil, &page); printed || err != nil {
				return err
			}
			w := a.table("RULE\tKIND\tSEVERITY\tSET BY\tDISABLED")
			for _, r := range page.Data {
				fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Name, r.Kind, r.Severity, setBy(r.Source, r.ChangedBy), dash(r.Disabled))
			}
			return w.Flush()
		}),
		apiCommand(set, func(ctx context.Context, a *api, args []string) error {
			one, name, err := readOne(set.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			var r readmodel.AlertRule
			if printed, err := a.call(ctx, "PUT", "/rules/"+url.PathEscape(name), nil, one, &r); printed || err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.out, "set: %s\n", r.Name)
			return err
		}),
		deleteCommand("delete RULE", "Delete a rule that was set over the API", "/rules/"),
	)
	return c
}
