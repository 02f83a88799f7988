package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tasktrail/tasktrail/app"
)

// api is the API as the command line calls it.
type api struct {
	base, token, namespace string
	asJSON                 bool
	out                    io.Writer
}

// apiCommand gives a command the flags every call of the API needs. Without
// them it finds a tasktrail up through its data directory.
func apiCommand(c *cobra.Command, run func(ctx context.Context, a *api, args []string) error) *cobra.Command {
	load := settingsFlags(c, "data_dir", "token")
	base := c.Flags().String("api", "", "address of the API, such as http://127.0.0.1:8080; empty to look in the data directory")
	namespace := c.Flags().StringP("namespace", "n", "", "namespace, where the token is bound to none")
	output := c.Flags().StringP("output", "o", "table", "table or json")
	c.RunE = func(c *cobra.Command, args []string) error {
		s, err := load()
		if err != nil {
			return err
		}
		if *output != "table" && *output != "json" {
			return usageError{fmt.Errorf("--output: %q is not table or json", *output)}
		}
		a := &api{base: strings.TrimRight(*base, "/"), token: s.Token, namespace: *namespace, asJSON: *output == "json", out: c.OutOrStdout()}
		if a.base == "" || a.token == "" {
			addrs, token, err := app.Connection(s.DataDir)
			if err != nil {
				return usageError{fmt.Errorf("%w; or give --api and TASKTRAIL_TOKEN", err)}
			}
			if a.base == "" {
				a.base = "http://" + addrs.HTTP
				if addrs.HTTPS {
					a.base = "https://" + addrs.HTTP
				}
			}
			if a.token == "" {
				a.token = token
			}
		}
		return run(c.Context(), a, args)
	}
	return c
}

// problem is an error the API answered with.
type problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Code   string `json:"code"`
	Field  string `json:"field"`
}

func (p *problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if p.Field != "" {
		text = p.Field + ": " + text
	}
	return fmt.Sprintf("%s (%d %s)", text, p.Status, p.Code)
}

func (a *api) request(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	if query == nil {
		query = url.Values{}
	}
	if a.namespace != "" {
		query.Set("namespace", a.namespace)
	}
	target := a.base + "/api/v1" + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	var send io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		send = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, send)
	if err != nil {
		return nil, usageError{err}
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("call the API: %w", err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		defer resp.Body.Close()
		b, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // what cannot be read has its status
		p := &problem{Status: resp.StatusCode, Title: resp.Status}
		if err := json.Unmarshal(b, p); err != nil {
			p.Detail = strings.TrimSpace(string(b))
		}
		if resp.StatusCode == http.StatusBadRequest {
			return nil, usageError{p}
		}
		return nil, p
	}
	return resp, nil
}

// call reads the whole answer into out. With --output json the answer is printed
// as it came, and printed is true.
func (a *api) call(ctx context.Context, method, path string, query url.Values, body, out any) (printed bool, err error) {
	resp, err := a.request(ctx, method, path, query, body)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return false, fmt.Errorf("read the API's answer: %w", err)
	}
	if a.asJSON {
		var indented bytes.Buffer
		if err := json.Indent(&indented, b, "", "  "); err != nil {
			return false, fmt.Errorf("the API's answer is not JSON: %w", err)
		}
		_, err = fmt.Fprintln(a.out, indented.String())
		return true, err
	}
	if err := json.Unmarshal(b, out); err != nil {
		return false, errors.Join(errors.New("the API's answer is not what was expected"), err)
	}
	return false, nil
}
