package main

import (
	"bytes"
	"fmt"
)

// header is the constant with the key as it stands in a KeyValue message.
func header(f *field) string { return "h" + f.name[len("Attr"):] }

func constants(b *bytes.Buffer) {
	b.WriteString("// The names of the attributes of a timeline event.\nconst (\n")
	for _, g := range table {
		fmt.Fprintf(b, "\n// %s.\n", g.title)
		for _, f := range g.fields {
			fmt.Fprintf(b, "%s = %q\n", f.name, f.key)
		}
	}
	b.WriteString(`
// AttrMetadataPrefix stands before the key of a pair of the task's metadata; the
// bare name (without the last dot) may carry all of them as one map.
AttrMetadataPrefix = "task.metadata."
// AttrEventName serves where a sender can't set the record's event name.
AttrEventName = "event.name"
)
`)
}

func encoder(b *bytes.Buffer) {
	b.WriteString("import \"github.com/tasktrail/tasktrail/timeline\"\n\n")
	b.WriteString("// The keys as they stand in a KeyValue message.\nconst (\n")
	for _, g := range table {
		for _, f := range g.fields {
			fmt.Fprintf(b, "%s = \"\\x0a\\x%02x\" + %s\n", header(&f), len(f.key), f.name)
		}
	}
	b.WriteString(")\n\n// appendFields appends the attributes of e in the order of the table. With spliced,\n// those that [AppendRunFields] writes are left out.\nfunc appendFields(dst []byte, e *timeline.Event, spliced bool) []byte {\n")
	for _, g := range table {
		if g.name == "" {
			encodeOwn(b, g.fields)
			continue
		}
		fmt.Fprintf(b, "if g := e.%s; g != nil {\n dst = append%s(dst, g)\n}\n", g.name, g.name)
	}
	b.WriteString("return dst\n}\n")
	for _, g := range table {
		if g.name == "" {
			continue
		}
		fmt.Fprintf(b, "\nfunc append%s(dst []byte, g *timeline.%s) []byte {\n", g.name, eventType(&g))
		for _, f := range g.fields {
			encodeField(b, &f, "g."+f.event)
		}
		b.WriteString("return dst\n}\n")
	}
}

// encodeOwn encodes the fields that are of no group. Those of the run stand together
// in blocks, so that one branch passes over many.
func encodeOwn(b *bytes.Buffer, fields []field) {
	var inRun bool
	toggle := func(run bool) {
		if run != inRun {
			b.WriteString(map[bool]string{true: "if !spliced {\n", false: "}\n"}[run])
		}
		inRun = run
	}
	for _, f := range fields {
		toggle(f.run)
		encodeField(b, &f, "e."+f.event)
	}
	toggle(false)
}

func eventType(g *group) string {
	if g.name == "DeadLetter" {
		return "DeadLetterRef"
	}
	return g.name
}

func encodeField(b *bytes.Buffer, f *field, path string) {
	var cond, call string
	h := header(f)
	switch f.kind {
	case text, decimal:
		cond, call = path+` != ""`, fmt.Sprintf("appendText(dst, %s, %s)", h, path)
	case enum:
		cond, call = path+` != ""`, fmt.Sprintf("appendText(dst, %s, string(%s))", h, path)
	case payload:
		cond, call = fmt.Sprintf("len(%s) > 0", path), fmt.Sprintf("appendPayload(dst, %s, %s)", h, path)
	case blob:
		cond, call = fmt.Sprintf("len(%s) > 0", path), fmt.Sprintf("appendBytes(dst, %s, %s)", h, path)
	case id:
		cond, call = fmt.Sprintf("!%s.IsZero()", path), fmt.Sprintf("appendID(dst, %s, &%s)", h, path)
	case integer, sequence:
		cond, call = path+" != 0", fmt.Sprintf("appendInt(dst, %s, uint64(%s))", h, path)
	case number:
		cond, call = path+" != 0", fmt.Sprintf("appendDouble(dst, %s, %s)", h, path)
	case millis:
		cond, call = path+" != 0", fmt.Sprintf("appendDouble(dst, %s, float64(%s)/1e6)", h, path)
	case instant:
		cond, call = fmt.Sprintf("!%s.IsZero()", path), fmt.Sprintf("appendTime(dst, %s, %s)", h, path)
	case boolean:
		cond, call = path, fmt.Sprintf("appendBool(dst, %s, true)", h)
	case severity:
		cond, call = path+" != 0", fmt.Sprintf("appendText(dst, %s, %s.String())", h, path)
	}
	if f.always {
		fmt.Fprintf(b, "dst = %s\n", call)
		return
	}
	fmt.Fprintf(b, "if %s {\n dst = %s\n}\n", cond, call)
}

func decoder(b *bytes.Buffer) {
	b.WriteString("import \"github.com/tasktrail/tasktrail/timeline\"\n\n")
	b.WriteString("// setField reads one attribute of the vocabulary; false where the key is none of it.\n" +
		"func (rec *Record) setField(key []byte, v *value) bool {\nswitch string(key) {\n")
	for _, g := range table {
		for _, f := range g.fields {
			fmt.Fprintf(b, "case %s:\n", f.name)
			decodeField(b, &g, &f)
		}
	}
	for _, g := range table {
		for _, f := range g.fields {
			if len(f.aliases) == 0 {
				continue
			}
			b.WriteString("case ")
			for i, a := range f.aliases {
				if i > 0 {
					b.WriteString(", ")
				}
				fmt.Fprintf(b, "%q", a)
			}
			fmt.Fprintf(b, ":\nif len(rec.%s) != 0 {\nreturn true\n}\n", f.recordPath(&g))
			decodeField(b, &g, &f)
		}
	}
	b.WriteString("default:\nreturn false\n}\nreturn true\n}\n")
}

// checker writes what judges keys and texts.
func checker(b *bytes.Buffer) {
	b.WriteString("import \"github.com/tasktrail/tasktrail/timeline\"\n\n")
	b.WriteString("// Reserved reports whether the key of an attribute belongs to the vocabulary, so that\n" +
		"// it can't stand among the free attributes of an event.\nfunc Reserved(key string) bool {\nswitch key {\ncase AttrEventName, AttrMetadataPrefix[:len(AttrMetadataPrefix)-1]")
	for _, g := range table {
		for _, f := range g.fields {
			fmt.Fprintf(b, ",\n%s", f.name)
			for _, a := range f.aliases {
				fmt.Fprintf(b, ", %q", a)
			}
		}
	}
	b.WriteString(":\nreturn true\n}\nreturn len(key) >= len(AttrMetadataPrefix) && key[:len(AttrMetadataPrefix)] == AttrMetadataPrefix\n}\n\n")

	b.WriteString("// checkText judges the texts of the record: UTF-8, and the length and no NUL of names.\n" +
		"func (rec *Record) checkText() *timeline.FieldError {\n")
	one := func(g *group, f *field) {
		path := f.recordPath(g)
		switch {
		case f.strict:
			fmt.Fprintf(b, "if !plain(rec.%s) {\n if err := checkName(%s, rec.%s); err != nil {\nreturn err\n}\n}\n", path, f.name, path)
		case f.kind == text, f.kind == enum:
			fmt.Fprintf(b, "if !validUTF8(rec.%s) {\nreturn notUTF8(%s)\n}\n", path, f.name)
		}
	}
	for _, g := range table {
		if g.name == "" {
			for _, f := range g.fields {
				one(&g, &f)
			}
		}
	}
	for _, g := range table {
		if g.name == "" || g.shared() {
			continue
		}
		var has bool
		for _, f := range g.fields {
			has = has || f.kind == text || f.kind == enum
		}
		if !has {
			continue
		}
		fmt.Fprintf(b, "if rec.Has&Has%s != 0 {\n", g.name)
		for _, f := range g.fields {
			one(&g, &f)
		}
		b.WriteString("}\n")
	}
	b.WriteString("return nil\n}\n")
}

func decodeField(b *bytes.Buffer, g *group, f *field) {
	path := "rec." + f.recordPath(g)
	if f.quiet {
		b.WriteString("rec.httpStatus = v.raw\n")
	}
	if g.name != "" && !f.quiet {
		fmt.Fprintf(b, "rec.Has |= Has%s\n", g.name)
	}
	get := func(method string) string { return fmt.Sprintf("rec.%s(%s, v)", method, f.name) }
	switch f.kind {
	case text, enum, decimal:
		if bound := f.bound(); bound != "" {
			fmt.Fprintf(b, "%s = cut(%s, %s)\n", path, get("text"), bound)
			return
		}
		fmt.Fprintf(b, "%s = %s\n", path, get("text"))
	case payload:
		fmt.Fprintf(b, "%s = %s\n", path, get("payload"))
	case blob:
		fmt.Fprintf(b, "%s = %s\n", path, get("blob"))
	case id:
		fmt.Fprintf(b, "%s = %s\n", path, get("id"))
	case integer:
		fmt.Fprintf(b, "%s = int(%s)\n", path, get("int"))
	case sequence:
		fmt.Fprintf(b, "%s = %s\n", path, get("sequence"))
	case number:
		fmt.Fprintf(b, "%s = %s\n", path, get("double"))
	case millis:
		if g.shared() {
			fmt.Fprintf(b, "%s = timeline.Millis(%s)\n", path, get("millis"))
			return
		}
		fmt.Fprintf(b, "%s = %s\n", path, get("millis"))
	case instant:
		fmt.Fprintf(b, "%s = %s\n", path, get("time"))
	case boolean:
		fmt.Fprintf(b, "%s = %s\n", path, get("bool"))
	case severity:
		fmt.Fprintf(b, "%s = %s\n", path, get("severity"))
	}
}

func copier(b *bytes.Buffer) {
	b.WriteString("import \"github.com/tasktrail/tasktrail/timeline\"\n\n")
	b.WriteString("// copyFields writes every attribute of the vocabulary into e.\nfunc (rec *Record) copyFields(e *timeline.Event) {\n")
	for _, g := range table {
		if g.name == "" {
			for _, f := range g.fields {
				fmt.Fprintf(b, "e.%s = %s\n", f.event, copied(&g, &f))
			}
			continue
		}
		fmt.Fprintf(b, "if rec.Has&Has%s != 0 {\n", g.name)
		if g.shared() {
			fmt.Fprintf(b, "g := rec.%s\ne.%s = &g\n}\n", g.name, g.name)
			continue
		}
		fmt.Fprintf(b, "e.%s = &timeline.%s{\n", g.name, eventType(&g))
		for _, f := range g.fields {
			fmt.Fprintf(b, "%s: %s,\n", f.event, copied(&g, &f))
		}
		b.WriteString("}\n}\n")
	}
	b.WriteString("}\n")
}

func copied(g *group, f *field) string {
	path := "rec." + f.recordPath(g)
	switch f.kind {
	case text, decimal:
		return fmt.Sprintf("string(%s)", path)
	case enum:
		if f.typ != "" {
			return fmt.Sprintf("%s(word(%s))", f.typ, path)
		}
		return fmt.Sprintf("word(%s)", path)
	case payload, blob:
		return fmt.Sprintf("clone(%s)", path)
	case millis:
		return fmt.Sprintf("timeline.Millis(%s)", path)
	case instant:
		return fmt.Sprintf("unixNano(%s)", path)
	default:
		return path
	}
}
