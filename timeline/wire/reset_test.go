package wire

import (
	"reflect"
	"testing"

	"github.com/tasktrail/tasktrail/timeline"
)

// Whatever stood in a record, nothing of it is left for the next one.
func TestResetLeavesNothing(t *testing.T) {
	for group := Group(0); group <= HasProgress; group = max(1, group<<1) {
		var rec Record
		fillAll(t, reflect.ValueOf(&rec).Elem())
		rec.Has, rec.httpStatus, rec.bad, rec.standing = group, nil, nil, standing{}
		if group == 0 { // no group is read without a sign of it
			rec.Error, rec.Policy, rec.Retry, rec.Breaker = ErrorFields{}, timeline.Policy{}, RetryFields{}, BreakerFields{}
			rec.DeadLetter, rec.Operator, rec.Gap, rec.Setting = DeadLetterFields{}, OperatorFields{}, GapFields{}, SettingFields{}
			rec.Progress = ProgressFields{}
		}
		kept := rec.keep
		kept.scratch = kept.scratch[:0]
		rec.reset(nil)
		if !reflect.DeepEqual(rec.keep, kept) || len(rec.Metadata) != 0 || len(rec.Attributes) != 0 {
			t.Errorf("kept %+v, want %+v", rec.keep, kept)
		}
		rec.keep, rec.Metadata, rec.Attributes = keep{}, nil, nil
		if !reflect.DeepEqual(rec, Record{}) {
			t.Errorf("group %b: left %+v", group, rec)
		}
	}
}

// fillAll gives every field a value, those that are not exported too.
func fillAll(t *testing.T, v reflect.Value) {
	t.Helper()
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Field(i)
			if !f.CanSet() {
				f = reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem()
			}
			fillAll(t, f)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
	case reflect.Array:
		for i := range v.Len() {
			fillAll(t, v.Index(i))
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Pointer, reflect.String:
	default:
		t.Fatalf("a field of kind %v", v.Kind())
	}
}
